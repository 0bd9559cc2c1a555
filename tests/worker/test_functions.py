"""Which code counts as a project's, and what is said of values and of files."""

import logging
import sysconfig
from argparse import Namespace
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import bench
from bench.worker.functions import Functions, installed


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("/project/archs/net.py", True),
        ("/elsewhere/net.py", True),
        (f"{bench.__path__[0]}_nets/net.py", True),
        (f"{bench.__path__[0]}/record.py", False),
        (f"{torch.__path__[0]}/nn/functional.py", False),
        (f"{sysconfig.get_path('stdlib')}/json/__init__.py", False),
        ("/venv/lib/python3.11/site-packages/others/net.py", False),
        ("<string>", False),
    ],
)
def test_what_may_differ_between_two_checkouts(file: str, counts: bool) -> None:
    assert Functions(Path("/project/archs/net.py")).counts(file) is counts


def test_an_installed_network_counts_with_its_package_alone(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "nets"
    (package / "parts").mkdir(parents=True)
    for file in ("__init__.py", "net.py", "parts/__init__.py"):
        (package / file).touch()
    of = Functions(package / "parts" / "net.py")
    assert of.counts(str(package / "net.py")) and of.counts(str(package / "parts" / "net.py"))
    assert not of.counts(str(tmp_path / "site-packages" / "nets_of_others" / "net.py"))


def test_an_environment_in_the_folder_of_a_package_is_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "__init__.py").touch()
    of = Functions(tmp_path / "nets" / "net.py")
    assert of.counts(str(tmp_path / "nets" / "lib" / "net.py"))
    assert not of.counts(str(tmp_path / "nets" / ".venv" / "lib" / "python3.11" / "site-packages" / "others" / "x.py"))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/v/lib/site-packages/nets/net.py", "nets"),
        ("/v/lib/site-packages/net.py", "net"),
        ("/v/dist-packages/nets/site-packages/other/x.py", "other"),
        ("/project/net.py", ""),
        ("/v/site-packages", ""),
    ],
)
def test_the_name_of_an_installed_package(file: str, name: str) -> None:
    assert installed(file) == name


class Address:
    """Its text holds where it lies in memory."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)

    def method(self) -> None: ...


class Slots:
    __slots__ = ("wait",)

    def __init__(self, wait: float) -> None:
        self.wait = wait


class Slow:
    wait = 0.1


class Slower(Slow):
    wait = 0.2


class Colour(Enum):
    RED = 1
    BLUE = 2


def closure(wait: float) -> Callable[..., float]:
    def inner(scale: float = 1.0) -> float:
        return scale * wait

    return inner


def defaults(wait: float) -> Callable[..., float]:
    return lambda scale=wait: scale


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a", "b", "c"}, {"c", "b", "a"}, True),
        (frozenset("ab"), frozenset("abc"), False),
        ([1, 2], (1, 2), False),
        ({"a": [0.1]}, {"a": [0.2]}, False),
        ("/one/place/x.py", "x.py", False),
        (Path("/code/x.py"), Path("/code/y.py"), False),
        (torch.float32, torch.float16, False),
        (torch.zeros(2), torch.ones(2), True),  # on the meta device it has no numbers
        (torch.zeros(2), torch.zeros(3), False),
        (np.array([0.1]), np.array([0.2]), False),
        (1, 1.0, False),
        (1, True, False),
        (Address(), Address(), True),
        (Address(wait=0.1), Address(wait=0.1), True),
        (Address(wait=0.1), Address(wait=0.2), False),
        (Address(inner=Address(wait=0.1)), Address(inner=Address(wait=0.2)), False),
        (Address(wait=0.1).method, Address(wait=0.2).method, False),
        (Slots(0.1), Slots(0.2), False),
        (SimpleNamespace(wait=0.1), SimpleNamespace(wait=0.2), False),
        (Namespace(wait=0.1), Namespace(wait=0.2), False),
        (timedelta(1), timedelta(2), False),
        (object(), object(), True),
        (deque([1]), deque([2]), False),
        (Slow, Slower, False),
        (Slow(), Slower(), False),
        (Colour.RED, Colour.BLUE, False),
        ({Colour.RED: 1}, {Colour.BLUE: 1}, False),
        (closure(0.1), closure(0.1), True),
        (closure(0.1), closure(0.2), False),
        (defaults(0.1), defaults(0.2), False),
        (partial(closure, 0.1), partial(closure, 0.2), False),
        ([closure(0.1)], [closure(0.2)], False),
        (logging.getLogger("one"), logging.getLogger("two"), True),  # what a library keeps is its own
    ],
)
def test_values_are_told_apart(one: Any, other: Any, same: bool) -> None:
    of = Functions(Path("/project/net.py"), ["/code"])
    assert (of.described(one) == of.described(other)) is same


def test_a_class_is_known_by_what_it_inherits() -> None:
    of = Functions(Path("/project/net.py"))
    one, other = (of.described(type("Same", (base,), {})) for base in (Slow, Slower))
    assert one != other


def test_where_a_checkout_lies_is_left_out_of_values() -> None:
    here, there = (Functions(Path(f"{root}/net.py"), [root]) for root in ("/here", "/there"))
    assert here.described({"at": "/here/data", "path": Path("/here/x")}) == there.described(
        {"at": "/there/data", "path": Path("/there/x")}
    )
