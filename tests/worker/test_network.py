"""The network's own fingerprint."""

from pathlib import Path
from typing import Any

import pytest
from jobs import HOURGLASS, own_network, tiny

from bench.worker.network import fingerprint
from bench.worker.subject import prepare_static


def printed(**changes: Any) -> str:
    return fingerprint(prepare_static(tiny("static", **changes)))[0]


def test_it_is_the_same_whatever_the_weights() -> None:
    assert printed(seed=0) == printed(seed=1)


def test_the_prediction_comes_with_it() -> None:
    assert tuple(fingerprint(prepare_static(tiny("static")))[1].shape) == (1, 16, 8, 8)


@pytest.mark.parametrize(
    "changes",
    [
        {"options": HOURGLASS | {"features": 16}},
        {"options": HOURGLASS | {"norm": "layer"}},
        {"options": HOURGLASS | {"extra_residual": "skip"}},
        {"data": {"use": "random", "size": 64}},
    ],
    ids=str,
)
def test_another_computation_is_another_network(changes: dict[str, Any]) -> None:
    assert printed(**changes) != printed()


SPELLINGS = [
    "return nn.functional.relu(self.conv(image))",
    "features = self.conv(image)\n        return [nn.functional.relu(features)]",
    "return torch.relu(self.conv(image))",
]


def test_another_spelling_of_the_same_computation_is_the_same_network(tmp_path: Path) -> None:
    prints = set()
    for number, body in enumerate(SPELLINGS):
        code = f"""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
    def forward(self, image):
        {body}
"""
        folder = tmp_path / f"spelling{number}"
        folder.mkdir()
        prints.add(printed(**own_network(folder, code)))
    assert len(prints) == 1


def test_another_dilation_is_another_network(tmp_path: Path) -> None:
    prints = set()
    for dilation in (1, 2):
        code = f"""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding={dilation}, dilation={dilation})
    def forward(self, image):
        return self.conv(image)
"""
        folder = tmp_path / f"dilation{dilation}"
        folder.mkdir()
        prints.add(printed(**own_network(folder, code)))
    assert len(prints) == 2
