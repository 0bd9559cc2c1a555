"""Fixtures of all tests: a fixed page, an environment that nobody may change, golden files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is.
settings.register_profile("bench", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bench")

GOLDEN = Path(__file__).parent / "golden"
PAGE = {"NO_COLOR": "1", "COLUMNS": "120"}
TOOLS = ("PYTEST_", "COV_", "TORCH", "TRITON_", "KINETO_")
"""Prefixes of variables that the test tools and torch set themselves."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite the files in tests/golden; read the difference")


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """The page is 120 columns without colour; a test that leaves the environment changed fails."""
    outside = dict(os.environ)
    os.environ.update(PAGE)
    before = _watched()
    yield
    after = _watched()
    for name in after.keys() | before.keys():
        os.environ.pop(name, None)
    os.environ.update({name: value for name, value in outside.items() if not name.startswith(TOOLS)})
    assert after == before, "this test changed os.environ: use monkeypatch.setenv"


def _watched() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(TOOLS)}


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a file in tests/golden, byte for byte; `pytest --golden` writes it."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--golden"):
            path.write_bytes(text.encode())
        assert path.exists(), f"{path} is missing: run pytest --golden, then read it"
        assert text == path.read_bytes().decode(), f"{name} differs: run pytest --golden, then read the difference"

    return compare
