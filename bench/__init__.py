"""Benchmark and profile neural-network architecture variants, with numbers one can trust."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import load_records, measure, run

__all__ = ["load_records", "measure", "run"]


def __getattr__(name: str) -> Any:
    """The public functions are imported when they are first used, since `bench --help` needs none of them."""
    if name in __all__:
        from bench import api

        return getattr(api, name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
