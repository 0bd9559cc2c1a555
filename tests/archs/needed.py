"""An architecture that needs a package is tested where that is, and skipped with the reason where it is not."""

import importlib
from types import ModuleType

import pytest

from bench import plugins


def load(name: str) -> ModuleType:
    """The module of an architecture; skips the test where what it needs cannot be imported."""
    for package in plugins.needs(plugins.path("arch", name)):
        try:
            importlib.import_module(package)
        except Exception as error:  # noqa: BLE001 - a package that was built for another torch raises anything
            pytest.skip(f"{package}: {type(error).__name__}: {error}")
    return plugins.load("arch", name)
