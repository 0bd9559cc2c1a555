"""The stacked hourglass for segmentation, with losses inside it, and with depthwise convolutions."""

from typing import Any

import counted
import pytest
import torch
from counted import count, macs
from torch import Tensor, nn

from archs.stacked_hourglass import build

ORIGINAL = 25_594_624


def on_meta(**options: Any) -> nn.Module:
    return counted.on_meta(build, **options)


SEGMENTING = {"stacks": 4, "classes": 25, "resolution": "full"}


def test_segmentation_at_full_resolution_has_the_known_counts() -> None:
    paper, ports = on_meta(stem="paper", **SEGMENTING), on_meta(**SEGMENTING)
    assert (count(paper), macs(paper, 3, 320, 320)) == (12_874_468, 348_723_609_600)
    assert count(ports) - count(paper) == 160_512
    assert macs(ports, 3, 320, 320) - macs(paper, 3, 320, 320) == 16_357_785_600


def test_coarse_heads_cost_a_head_and_its_way_back_less_per_class() -> None:
    plain, nested = on_meta(**SEGMENTING), on_meta(**SEGMENTING | {"classes": [2, 5, 13, 25]})
    assert count(plain) - count(nested) == (23 + 20 + 12) * 513
    outputs = nested(torch.empty(1, 3, 64, 96, device="meta"))
    assert [tuple(out.shape) for out in outputs] == [(1, classes, 64, 96) for classes in (2, 5, 13, 25)]


def test_a_joint_branch_trains_beside_and_is_no_part_of_an_inference() -> None:
    plain, joined = on_meta(**SEGMENTING), on_meta(joint_branch=2, branch_joints=24, **SEGMENTING)
    image = torch.empty(1, 3, 64, 64, device="meta")
    assert [out.shape[1] for out in joined.train()(image)] == [24, 25, 25, 25, 25]
    assert [out.shape[1] for out in joined.eval()(image)] == [25, 25, 25, 25]
    module, after, features, head = joined.beside
    assert count(joined) - count(plain) == sum(count(part) for part in (module, after, features, head))
    assert macs(joined, 3, 64, 64) == macs(plain, 3, 64, 64)


def test_the_joint_branch_reads_what_the_next_stack_reads() -> None:
    torch.manual_seed(0)
    model = build(stacks=2, features=8, depth=1, classes=3, resolution="full", joint_branch=1, branch_joints=5)
    read: dict[str, Tensor] = {}
    model.beside[0].register_forward_pre_hook(lambda _, given: read.update(beside=given[0]))
    model.hourglasses[1].skip.register_forward_pre_hook(lambda _, given: read.update(next=given[0]))
    with torch.no_grad():
        model(torch.randn(1, 3, 8, 8))
    assert torch.equal(read["beside"], read["next"])


def test_heads_inside_the_hourglass_are_on_the_two_highest_resolutions() -> None:
    inside, alone = (on_meta(stacks=1, blocks=8, stem="paper", supervision=how) for how in ("inside", "all"))
    outputs = inside(torch.empty(1, 3, 256, 256, device="meta"))
    assert [tuple(out.shape[-2:]) for out in outputs] == [(32, 32), (64, 64), (64, 64)]
    assert count(inside) - count(alone) == 2 * (256 * 16 + 16)


def test_heads_inside_do_not_change_the_prediction() -> None:
    torch.manual_seed(0)
    inside = build(stacks=2, features=8, depth=2, supervision="inside").eval()
    plain = build(stacks=2, features=8, depth=2).eval()
    plain.load_state_dict(
        {name: weight for name, weight in inside.state_dict().items() if not name.startswith("heads_inside")}
    )
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        for mine, theirs in zip(inside(image)[2::3], plain(image), strict=True):
            assert torch.equal(mine, theirs)


def test_depthwise_convolutions_are_a_third_of_the_parameters() -> None:
    model = on_meta(depthwise=True)
    assert count(model) == ORIGINAL - 114 * (9 * 128**2 - 9 * 128) - (9 * 64**2 - 9 * 64) == 8_879_680
    assert macs(model, 3, 256, 256) / 1e9 == pytest.approx(11.9, abs=0.05)
    assert {conv.groups for conv in model.modules() if isinstance(conv, nn.Conv2d)} == {1, 64, 128}
