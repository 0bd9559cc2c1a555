"""Which changes of a network's code change which of its hashes: too few, and a change would pass a gate unmeasured."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jobs import ROOT, own_network, tiny

from bench.record import Job, Json, encode
from bench.worker.functions import Functions
from bench.worker.graph import fingerprint

NETWORK = '''
import time
from torch.nn import functional as F

WAIT = 0.0
WAITS = {"a": 0.0}
KNOWN = frozenset({"alpha", "beta", "gamma"})
UNUSED = 1


def helper(x, scale=2.0):
    """Half of the work."""
    return F.relu(x)


def on_a_device(x):
    return x + 1


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def hook(module, grad, out):
    return None


class Net(nn.Module):
    rate = 0.5

    def __init__(self, width=4, start=0.0):
        super().__init__()
        self.a = nn.Conv2d(3, width, 3, padding=1)
        self.b = nn.Conv2d(3, width, 3, padding=1)
        self.waits = [0.0]
        self.begin(0.1)
        self.a.register_full_backward_hook(hook)

    def begin(self, std):
        nn.init.normal_(self.a.weight, std=std)

    def never(self, x):
        return x

    def forward(self, image):
        # two paths
        one = helper(self.a(image))
        two = helper(self.b(image))
        time.sleep(WAIT + WAITS["a"] + self.waits[0])
        if image.is_cuda:
            one = on_a_device(one)
        if "delta" in KNOWN or one.shape[0] in {1024, 2048, 4096}:
            return one
        if self.training:
            two = two + 1
        return Twice.apply(one) + two
'''


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker, nothing of a project is imported yet: neither the tests' own modules nor those of other tests."""
    for name in Functions(Path(__file__)).imported():
        monkeypatch.delitem(sys.modules, name)


def hashes(folder: Path, code: str, **changes: Any) -> Json:
    """The fingerprint of a network in a folder of its own, imported anew."""
    folder.mkdir(exist_ok=True)
    own = own_network(folder, code)
    name = f"net_{folder.parent.name}"  # the same module in every folder
    (folder / f"own_{folder.name}.py").rename(folder / f"{name}.py")
    job = tiny("static", **own | {"arch": f"{name}:make", "seed": 3} | changes)
    try:
        return fingerprint(job)
    finally:
        sys.modules.pop(name)
        sys.path.remove(str(folder))


def changed(folder: Path, old: str, new: str, **options: Any) -> set[str]:
    """Names of the hashes that differ where a text is replaced by another one."""
    assert NETWORK.count(old) == 1, old
    one = hashes(folder / "one", NETWORK)
    two = hashes(folder / "two", NETWORK.replace(old, new), **options)
    return {name for name in ("graph", "code", "built") if one[name] != two[name]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# two paths", "# one path,\n        # and another"),
        ('"""Half of the work."""', '"""All of it: %s."""'),
        ('    """Half of the work."""\n', ""),
        ("        # two paths\n", '        """Two paths."""\n'),
        (
            "def on_a_device(x):\n    return x + 1\n\n\n",
            "def also(x):\n    return x\n\n\ndef on_a_device(x):\n    return x + 1\n",
        ),
        ("helper(self.a(image))", "helper(\n            self.a(image),\n        )"),
        ("    rate = 0.5\n", '    """A network."""\n\n    rate = 0.5\n'),
        ("\nWAIT =", "\nif __name__ == '__main__':\n    print(UNUSED)\n\nWAIT ="),
        ("def hook", "class Other(nn.Module):\n    def forward(self, x):\n        return x\n\n\ndef hook"),
        ("{1024, 2048, 4096}", "{4096, 1024, 2048}"),
    ],
    ids=[
        *("comment", "docstring", "no docstring", "a new docstring", "another function", "layout"),
        *("a docstring of a class", "a script", "another class", "order of a set"),
    ],
)
def test_what_cannot_move_a_figure_changes_nothing(tmp_path: Path, old: str, new: str) -> None:
    assert changed(tmp_path, old, new) == set()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("UNUSED = 1", "UNUSED = 2"),
        ("UNUSED = 1", "UNUSED = 1\nMORE = 1"),
        ('{"alpha", "beta", "gamma"}', '{"gamma", "alpha", "beta"}'),
    ],
    ids=["unused", "new", "order of a set"],
)
def test_a_constant_is_measured_for_nothing_rather_than_overlooked(tmp_path: Path, old: str, new: str) -> None:
    assert changed(tmp_path, old, new) == {"code", "built"}


def test_the_order_of_functions_does_not_count(tmp_path: Path) -> None:
    begin, end = NETWORK.index("def on_a_device"), NETWORK.index("class Twice")
    moved = NETWORK[:begin] + NETWORK[end:] + "\n\n" + NETWORK[begin:end]
    one, two = hashes(tmp_path / "one", NETWORK), hashes(tmp_path / "two", moved)
    assert [one[name] for name in ("graph", "code", "built")] == [two[name] for name in ("graph", "code", "built")]


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        ("time.sleep(WAIT", "time.sleep(0.0 + WAIT", {"code", "built"}),
        ("WAIT = 0.0", "WAIT = 0.01", {"code", "built"}),
        ('WAITS = {"a": 0.0}', 'WAITS = {"a": 0.01}', {"code", "built"}),
        ('"beta", "gamma"}', '"beta"}', {"code", "built"}),
        ("scale=2.0", "scale=3.0", {"code", "built"}),
        ("return x + 1", "return x + 2", {"code", "built"}),
        ("return 2 * grad", "return 3 * grad", {"code", "built"}),
        ("    return None", "    return (grad[0].cpu(),)", {"code", "built"}),
        ("return F.relu(x)", "y = F.relu(x)\n    return y", {"code", "built"}),
        ("\nWAIT =", "\ntorch.set_flush_denormal(False)\nWAIT =", {"code", "built"}),
        ("self.waits = [0.0]", "self.waits = [0.01]", {"graph", "built"}),
        ("rate = 0.5", "rate = 0.6", {"graph", "code", "built"}),
        ("two = helper(self.b(image))", "two = helper(self.a(image))", {"graph", "code", "built"}),
        ("two = two + 1", "two = two + 2", {"graph", "code", "built"}),
        ("return F.relu(x)", "return F.gelu(x)", {"graph", "code", "built"}),
        ("self.begin(0.1)", "self.begin(0.2)", {"built"}),
        ("self.begin(0.1)", "self.begin(0.1); self.b.requires_grad_(False)", {"graph", "built"}),
        ("self.waits = [0.0]", "self.waits = [0.0]; self.a.register_forward_hook(hook)", {"graph", "built"}),
        ("start=0.0", "start=0.1", {"built"}),
        ("width=4", "width=6", {"graph", "built"}),
    ],
    ids=[
        *("a wait", "a constant", "a constant in a dict", "a constant set", "a default", "a function of a device"),
        *("a backward", "a backward hook", "a name", "a setting at import", "an attribute", "a class's attribute"),
        *("wiring", "training alone", "an operator", "first weights", "frozen weights", "a forward hook"),
        *("a builder's default", "a width"),
    ],
)
def test_what_may_move_a_figure_is_seen(tmp_path: Path, old: str, new: str, differ: set[str]) -> None:
    assert changed(tmp_path, old, new) == differ


def test_options_count_even_where_the_graph_is_the_same(tmp_path: Path) -> None:
    assert changed(tmp_path, "UNUSED = 1", "UNUSED = 1", options={"start": 0.3}) == {"code", "built"}


def test_stored_weights_are_first_weights(tmp_path: Path) -> None:
    assert changed(tmp_path, "UNUSED = 1", "UNUSED = 1", weights_hash="0123") == {"built"}


def test_a_norm_that_needs_two_images_to_train(tmp_path: Path) -> None:
    code = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    def forward(self, image):
        return self.pool(image)
"""
    assert hashes(tmp_path / "one", code)["graph"]


def test_a_network_that_wants_targets_to_train_is_known_in_eval_mode(tmp_path: Path) -> None:
    code = """
class Net(nn.Module):
    def forward(self, image):
        assert not self.training, "targets should be passed"
        return image + 1
"""
    found = hashes(tmp_path / "one", code)
    assert found["untrained"] == "AssertionError: targets should be passed"
    assert found["graph"] != hashes(tmp_path / "two", code.replace("+ 1", "* 2"))["graph"]


def test_a_network_that_draws_its_way_takes_the_same_one(tmp_path: Path) -> None:
    code = """
import random
class Net(nn.Module):
    def forward(self, image):
        for _ in range(random.randrange(64) + int(torch.randint(64, ()))):
            image = image + 1
        return image
"""
    assert hashes(tmp_path / "one", code)["graph"] == hashes(tmp_path / "two", code)["graph"]


def test_an_operator_of_ones_own_is_opaque(tmp_path: Path) -> None:
    code = """
@torch.library.custom_op("own_test::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x

@twice.register_fake
def _(x):
    return torch.empty_like(x)

class Net(nn.Module):
    def forward(self, image):
        return twice(image)
"""
    assert hashes(tmp_path / "one", code)["opaque"] == ["own_test.twice.default"]
    assert fingerprint(tiny("static"))["opaque"] == []


def test_where_the_code_lies_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    own = own_network(tmp_path, "from own_part import Part as Net")
    (tmp_path / "own_part.py").write_text(
        "from torch import nn\n\nclass Part(nn.Conv2d):\n"
        "    def __init__(self):\n        super().__init__(3, 4, 1)\n"
        "    def forward(self, image):\n        return super().forward(image)\n"
    )
    found = fingerprint(tiny("static", **own))
    module = tmp_path / f"own_{tmp_path.name}.py"
    assert (found["module"], found["files"]) == (str(module), sorted([str(module), str(tmp_path / "own_part.py")]))
    assert not folder.exists()


def test_code_in_an_installed_package_is_told_by_its_name(tmp_path: Path) -> None:
    place = tmp_path / "lib" / "site-packages" / "packaged_parts"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("def half(x):\n    return x / 2\n")
    code = (
        "from packaged_parts import half\n\nclass Net(nn.Module):\n    def forward(self, x):\n        return half(x)\n"
    )
    own = own_network(tmp_path, code)
    found = fingerprint(tiny("static", **own | {"paths": [str(tmp_path), str(place.parent)]}))
    assert "packaged_parts" in found["packages"]
    assert found["files"] == [found["module"]]


def test_whoever_traces_is_told_again_afterwards(tmp_path: Path) -> None:
    def tracer(*_: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        hashes(tmp_path / "one", NETWORK)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def in_a_process(job: Job, seed: str) -> Json:
    code = (
        "import sys, json\nfrom bench.record import decode_job\nfrom bench.worker.graph import fingerprint\n"
        "print(json.dumps(fingerprint(decode_job(sys.stdin.buffer.read()))))"
    )
    variables = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], input=encode(job), env=variables, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    found: Json = json.loads(done.stdout)
    return found


def test_the_same_in_every_process_and_every_place(tmp_path: Path) -> None:
    place = "HERE = __file__\n\nclass Place:\n    pass\n\nPLACE = Place()\n"
    code = place + NETWORK.replace("# two paths", "held = (HERE, PLACE, __file__)")
    folders = [tmp_path / place for place in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        own_network(folder, code)
        (folder / f"own_{folder.name}.py").rename(folder / "own_net.py")
    one, two = (tiny("static", arch="own_net:make", arch_file="", options={}, paths=[str(f)]) for f in folders)
    here, there = fingerprint(one), in_a_process(two, "1")
    assert here.pop("module") != there.pop("module")
    assert here.pop("files") != there.pop("files")
    assert here == there | {"packages": here["packages"]}
