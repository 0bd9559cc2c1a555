"""Multiply-adds by hand, by torch's counter, and by fvcore; what cannot be counted says so."""

import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jobs import QUICK, own_network, tiny

from bench.errors import Failed, Unavailable
from bench.record import Value
from bench.worker.measures import flops
from bench.worker.subject import prepare_static

BESIDE = msgspec.structs.replace(QUICK, fvcore_seconds=30.0)


def counted(**changes: Any) -> dict[str, Value]:
    return {value.quantity.name: value for value in flops.measure(prepare_static(tiny("static", **changes)))}


def network(folder: Path, layer: str, forward: str = "self.layer(image)") -> dict[str, Any]:
    code = f"""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = {layer}
    def forward(self, image):
        return {forward}
"""
    return own_network(folder, code)


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        ("nn.Conv2d(3, 8, 3, padding=1)", 32 * 32 * 8 * 3 * 9),
        ("nn.Conv2d(3, 8, 3, stride=2, padding=1)", 16 * 16 * 8 * 3 * 9),
        ("nn.Conv2d(3, 6, 3, padding=1, groups=3)", 32 * 32 * 6 * 9),
        ("nn.Conv2d(3, 8, 3, dilation=2, bias=False)", 28 * 28 * 8 * 3 * 9),
        ("nn.Linear(32, 10)", 3 * 32 * 32 * 10),
        ("nn.ConvTranspose2d(3, 8, 2, stride=2)", 32 * 32 * 3 * 8 * 4),
        ("nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2))", 0),
        ("nn.Upsample(scale_factor=2, mode='bilinear')", 0),
        ("nn.Upsample(scale_factor=2, mode='bicubic')", 0),
    ],
)
def test_one_layer_by_hand(tmp_path: Path, layer: str, macs: int) -> None:
    found = counted(**network(tmp_path, layer))
    assert found["macs"].value == macs
    assert found["flops"].value == 2 * macs
    assert found["macs.fvcore"].reason == "fvcore not run (protocol.fvcore_seconds = 0)"


def test_the_count_is_of_one_image_whatever_the_batch() -> None:
    assert counted(infer={"batch": 7})["macs"].value == counted(infer={"batch": 1})["macs"].value


def test_what_has_no_formula_is_listed(tmp_path: Path) -> None:
    listed = counted(**network(tmp_path, "nn.ReLU()"))["macs"].details["without_formula"]
    assert listed["aten.relu"] == [1, 3 * 32 * 32]


@pytest.mark.parametrize(
    ("product", "operator"),
    [
        ("torch.addmv(image[0, 0, 0, :5], image[0, 0, :5, :9], image[0, 0, 0, :9])", "aten.addmv"),
        ("torch.mv(image[0, 0, :5, :9], image[0, 0, 0, :9])", "aten.mv"),
        ("torch.dot(image[0, 0, 0], image[0, 0, 1])", "aten.dot"),
        ("nn.functional.bilinear(image, image, torch.ones(4, 32, 32, device=image.device))", "aten._trilinear"),
    ],
)
def test_a_matrix_product_without_a_formula_is_an_error(tmp_path: Path, product: str, operator: str) -> None:
    with pytest.raises(Failed, match=f"matrix products without a FLOP formula would be missing .*: {operator}"):
        counted(**network(tmp_path, "nn.ReLU()", product))


def test_both_counters_agree_on_the_hourglass() -> None:
    found = counted(protocol=BESIDE)
    operators = found["macs.fvcore"].details["per_operator"]
    assert operators["conv"] == found["macs"].value == found["macs"].details["fvcore"]
    assert found["macs"].flags == []
    assert found["macs.fvcore"].value == sum(operators.values()) > operators["conv"]


def test_work_that_one_counter_leaves_out_is_a_gap(tmp_path: Path) -> None:
    """fvcore counts what the outputs need, torch what runs."""
    own = network(tmp_path, "nn.Conv2d(3, 3, 1)", "(self.layer(image), self.layer(image))[1]")
    found = counted(protocol=BESIDE, **own)
    assert found["macs"].value == 2 * 9 * 32 * 32
    assert found["macs"].details["fvcore"] == 9 * 32 * 32
    assert found["macs"].flags == found["flops"].flags == ["counter_gap"]


UNPOOL = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
    def forward(self, image):
        small, places = nn.functional.max_pool2d(self.conv(image), 2, return_indices=True)
        return nn.functional.max_unpool2d(small, places, 2, output_size=image.shape[-2:])
"""


def test_what_fvcore_cannot_trace_is_a_reason_and_the_count_stays(tmp_path: Path) -> None:
    found = counted(protocol=BESIDE, **own_network(tmp_path, UNPOOL))
    assert found["macs"].value == 9 * 32 * 32
    assert found["macs.fvcore"].value is None
    assert found["macs.fvcore"].reason.startswith("fvcore cannot trace it (")


def test_fvcore_is_stopped_at_its_time_limit(tmp_path: Path) -> None:
    slow = "import time\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    slow += "        self.conv = nn.Conv2d(3, 3, 1)\n    def forward(self, image):\n"
    slow += "        time.sleep(0 if image.is_meta else 30)\n        return self.conv(image)"
    limit = msgspec.structs.replace(QUICK, fvcore_seconds=0.3)
    begin = time.monotonic()
    found = counted(protocol=limit, **own_network(tmp_path, slow))
    assert time.monotonic() - begin < 10
    assert found["macs.fvcore"].reason == "fvcore did not trace it within 0.3 s (protocol.fvcore_seconds)"
    assert found["macs"].value == 9 * 32 * 32


def test_a_time_limit_leaves_no_alarm_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(Unavailable), flops.time_limit(0.01):
        time.sleep(5)
    with flops.time_limit(5):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) == before
