"""Settings that a network takes from other modules, or that building it leaves behind: none may change unseen."""

import sys
from pathlib import Path

import pytest
from jobs import tiny

from bench.record import Json
from bench.worker.functions import Functions
from bench.worker.graph import fingerprint


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker, nothing of a project is imported yet: neither the tests' own modules nor those of other tests."""
    for name in Functions(Path(__file__)).imported():
        monkeypatch.delitem(sys.modules, name)


NETWORK_OF_A_SHOP = """
import time
import torch
from torch import nn
{imports}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        {begins}

    def forward(self, image):
        {runs}
        return self.a(image)

def make():
    return Net()
"""


def in_a_shop(folder: Path, settings: str, imports: str = "", begins: str = "pass", runs: str = "pass") -> Json:
    """The fingerprint of a network in a package, whose settings stand in other files of that package."""
    network = NETWORK_OF_A_SHOP.format(imports=imports, begins=begins, runs=runs)
    files = {"net.py": network, "cfg.py": settings, "deep/cfg.py": settings, "other.py": settings}
    for name, text in (files | {"__init__.py": "", "deep/__init__.py": ""}).items():
        path = folder / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    try:
        return fingerprint(tiny("static", arch="shop.net:make", arch_file="", options={}, paths=[str(folder)]))
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("settings", "imports", "runs"),
    [
        ("WAIT = 0.0", "from shop.cfg import WAIT", "time.sleep(0 * WAIT)"),
        ("WAIT = 0.0", "from shop import cfg", "time.sleep(0 * cfg.WAIT)"),
        ("WAIT = 0.0", "import shop.cfg", "time.sleep(0 * shop.cfg.WAIT)"),
        ("WAIT = 0.0", "import shop.deep.cfg", "time.sleep(0 * shop.deep.cfg.WAIT)"),
        ("class CFG:\n    wait = 0.0", "from shop.cfg import CFG", "time.sleep(0 * CFG.wait)"),
        ("class CFG:\n    class Net:\n        wait = 0.0", "from shop.cfg import CFG", "CFG.Net.wait"),
        ("class Base:\n    wait = 0.0\n\nclass CFG(Base):\n    pass", "from shop.cfg import CFG", "CFG.wait"),
        (
            "from dataclasses import dataclass\n\n@dataclass\nclass Kind:\n    wait: float = 0.0\n\nCFG = Kind()",
            *("from shop.cfg import CFG", "CFG.wait"),
        ),
        ("from enum import Enum\n\nclass Kind(Enum):\n    A = 0.0", "from shop.cfg import Kind", "Kind.A.value"),
        ("from types import SimpleNamespace\nCFG = SimpleNamespace(wait=0.0)", "from shop.cfg import CFG", "CFG.wait"),
        ("from collections import namedtuple\nCFG = namedtuple('C', 'wait')(0.0)", "from shop.cfg import CFG", "CFG"),
        ("import torch\nX = torch.arange(3) * 0.0", "from shop.cfg import X", "X.sum()"),
        ("import torch\ntorch.set_flush_denormal(0.0 > 1)", "import shop.cfg", "pass"),
        ("import torch\n\ndef begin():\n    torch.set_flush_denormal(0.0 > 1)\n\nbegin()", "import shop.cfg", "pass"),
        ("def keep(f):\n    return 0.0, f\n\n@keep\ndef kept():\n    pass", "from shop.cfg import kept", "kept[0]"),
        ("import torch\n\ndef f(x=torch.tensor(0.0)):\n    return x", "from shop.cfg import f", "f()"),
        (
            "import torch\n\n@torch.autocast('cpu', cache_enabled=0.0 > 0)\ndef f():\n    pass",
            "from shop.cfg import f",
            "f()",
        ),
        ("def f():\n    return 0.0", "from shop import cfg", "getattr(cfg, 'f')()"),
        ("def f():\n    return 0.0\n\nALL = {'f': f}", "from shop.cfg import ALL", "ALL['f'] if image.is_cuda else 0"),
        ("def f():\n    return 0.0", "import shop.deep.cfg", "shop.deep.cfg.f() if image.is_cuda else 0"),
    ],
)
def test_a_setting_in_another_module_is_seen(tmp_path: Path, settings: str, imports: str, runs: str) -> None:
    assert settings.count("0.0") == 1
    one, two = (
        in_a_shop(tmp_path / name, settings.replace("0.0", value), imports, runs=runs)
        for name, value in (("one", "0.0"), ("two", "0.05"))
    )
    assert one["code"] != two["code"] and one["built"] != two["built"]
    assert {Path(file).name for file in one["files"]} >= {"net.py", "cfg.py"}


def test_a_file_that_is_not_imported_does_not_count(tmp_path: Path) -> None:
    one, two = (in_a_shop(tmp_path / str(wait), f"WAIT = {wait}") for wait in (0.0, 0.1))
    assert [one[name] for name in ("graph", "code", "built")] == [two[name] for name in ("graph", "code", "built")]


SETTINGS = """
from types import SimpleNamespace

WAIT = 0

class CFG:
    wait = 0

class Slots:
    __slots__ = ("wait",)
    def __init__(self, wait):
        self.wait = wait
    def __call__(self):
        return self.wait
    def method(self):
        return self.wait

def waiting(seconds):
    def wait():
        return seconds
    return wait
"""


@pytest.mark.parametrize(
    ("begins", "runs"),
    [
        ("self.cfg = cfg.SimpleNamespace(wait=0.0)", "self.cfg.wait"),
        ("self.cfg = cfg.Slots(0.0)", "self.cfg()"),
        ("self.cfg = cfg.Slots(0.0).method", "self.cfg()"),
        ("self.cfg = [cfg.waiting(0.0), cfg.waiting(1)]", "self.cfg[0]()"),
        ("self.cfg = lambda wait=0.0: wait", "self.cfg()"),
        ("self.parts = [nn.Identity()]; self.parts[0].wait = 0.0", "self.parts[0].wait"),
        ("cfg.WAIT = 0.0", "cfg.WAIT"),
        ("cfg.CFG.wait = 0.0", "cfg.CFG.wait"),
    ],
)
def test_what_building_leaves_behind_counts_for_times(tmp_path: Path, begins: str, runs: str) -> None:
    one, two = (
        in_a_shop(tmp_path / name, SETTINGS, "from shop import cfg", begins.replace("0.0", value), runs)
        for name, value in (("one", "0.0"), ("two", "0.05"))
    )
    assert [one["graph"], one["code"]] != [two["graph"], two["code"]]
