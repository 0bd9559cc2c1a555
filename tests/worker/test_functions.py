"""Which code counts as a project's, and what is said of values and of files."""

import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench
from bench.worker.functions import Functions, effects, installed


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
    ],
)
def test_values_are_told_apart(one: Any, other: Any, same: bool) -> None:
    of = Functions(Path("/project/net.py"), ["/code"])
    assert (of.described(one) == of.described(other)) is same


def test_where_a_checkout_lies_is_left_out_of_values() -> None:
    here, there = (Functions(Path(f"{root}/net.py"), [root]) for root in ("/here", "/there"))
    assert here.described({"at": "/here/data", "path": Path("/here/x")}) == there.described(
        {"at": "/there/data", "path": Path("/there/x")}
    )


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", False),
        ('"""Docs."""\nimport torch\nfrom torch import nn\n', False),
        ("A = 1\nB = {'a': [2]}\nC = frozenset({'x'})\n\ndef f(): pass\n\nclass G: pass\n", False),
        ("import torch\ntorch.set_num_threads(1)\n", True),
        ("import torch\ntorch.backends.cudnn.benchmark = True\n", True),
        ("import torch\nX = torch.tensor([1.0])\n", True),
        ("if True:\n    A = 1\n", True),
    ],
)
def test_what_a_file_does_where_it_is_imported(tmp_path: Path, text: str, counts: bool) -> None:
    file, empty = tmp_path / "net.py", tmp_path / "empty.py"
    file.write_text(text)
    empty.touch()
    assert (effects(str(file)) != effects(str(empty))) is counts


def test_a_file_that_is_gone_has_no_effects(tmp_path: Path) -> None:
    assert effects(str(tmp_path / "gone.py")) == ""
