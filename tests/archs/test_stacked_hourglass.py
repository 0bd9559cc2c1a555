"""The stacked hourglass against known counts and against a reference written from the paper as plain functions."""

from collections.abc import Callable
from typing import Any

import counted
import pytest
import torch
from counted import count, macs
from torch import Tensor, nn

from archs.blocks import Bottleneck, Hourglass
from archs.stacked_hourglass import build, check

ORIGINAL = (25_594_624, 28_094_496_768)
SLIM = {"features": 64}

STUDY = {
    "original": ({}, *ORIGINAL),
    "64 channels": (SLIM, 6_725_248, 8_779_202_560),
    "6 stacks": ({"stacks": 6}, 19_306_720, 21_725_970_432),
    "6 stacks, 64 channels, one bottleneck more": (
        {"stacks": 6, "features": 64, "extra_residual": "low"},
        6_434_144,
        7_604_797_440,
    ),
    "layer norm": (SLIM | {"norm": "layer"}, 6_725_248, 8_779_202_560),
    "growing depth": (SLIM | {"depth": [2, 2, 2, 3, 3, 3, 4, 4]}, 5_266_816, 8_733_196_288),
    "shrinking depth": (SLIM | {"depth": [4, 4, 3, 3, 3, 3, 2, 2]}, 5_428_864, 8_743_419_904),
    "4 convolutions": ({"bottleneck_convs": 4}, 42_485_440, 44_383_076_352),
    "paper 1 x 8": ({"stem": "paper", "stacks": 1, "blocks": 8}, 24_450_192, 23_447_207_936),
    "paper 2 x 4": ({"stem": "paper", "stacks": 2, "blocks": 4}, 24_590_752, 24_017_633_280),
    "paper 4 x 2": ({"stem": "paper", "stacks": 4, "blocks": 2}, 24_871_872, 25_158_483_968),
    "paper 8 x 1": ({"stem": "paper"}, 25_434_112, 27_440_185_344),
}


def on_meta(**options: Any) -> nn.Module:
    return counted.on_meta(build, **options)


@pytest.mark.parametrize("name", STUDY)
def test_known_counts(name: str) -> None:
    options, parameters, multiply_adds = STUDY[name]
    model = on_meta(**options)
    assert count(model) == parameters
    assert macs(model, 3, 256, 256) == multiply_adds


def test_the_stem_of_the_ports_is_wider_than_the_papers() -> None:
    ports, paper = on_meta(stacks=1), on_meta(stacks=1, stem="paper")
    assert count(ports) - count(paper) == 160_512
    assert macs(ports, 3, 256, 256) - macs(paper, 3, 256, 256) == ORIGINAL[1] - STUDY["paper 8 x 1"][2] == 654_311_424


def test_a_stack_adds_the_same_each_time() -> None:
    counts = [count(on_meta(stacks=stacks)) for stacks in (1, 2, 3)]
    assert counts[1] - counts[0] == counts[2] - counts[1] == 3_143_952


@pytest.mark.parametrize("features", [64, 128])
def test_bottleneck_parameters_follow_the_formula(features: int) -> None:
    assert count(Bottleneck(2 * features, features)) == 13 * features**2 + 12 * features


def test_one_hourglass_alone() -> None:
    with torch.device("meta"):
        module = Hourglass(128, 4, 1)
    assert count(module) == 2_788_864
    assert macs(module, 256, 64, 64) == 1_741_422_592


@pytest.mark.parametrize(("depth", "blocks"), [(1, 1), (2, 1), (4, 1), (4, 3), (3, 2)])
def test_an_hourglass_has_three_positions_per_level_and_one_inside(depth: int, blocks: int) -> None:
    with torch.device("meta"):
        module = Hourglass(8, depth, blocks)
    assert bottlenecks(module) == (3 * depth + 1) * blocks


def bottlenecks(module: nn.Module) -> int:
    return sum(isinstance(part, Bottleneck) for part in module.modules())


def test_each_stack_has_the_depth_of_its_place() -> None:
    model = on_meta(stacks=3, features=8, depth=[1, 3, 2])
    assert [bottlenecks(hourglass) for hourglass in model.hourglasses] == [4, 10, 7]


def test_an_extra_bottleneck_costs_the_same_parameters_on_either_path_but_more_work_on_the_skip() -> None:
    low, skip = (on_meta(stacks=6, features=64, extra_residual=path) for path in ("low", "skip"))
    assert count(low) == count(skip) == count(on_meta(stacks=6, features=64)) + 6 * 4 * (13 * 64**2 + 12 * 64)
    assert macs(skip, 3, 256, 256) / macs(low, 3, 256, 256) == pytest.approx(1.17, abs=0.005)


def test_a_fourth_convolution_adds_the_same_to_every_bottleneck() -> None:
    assert count(Bottleneck(256, 128, convs=4)) - count(Bottleneck(256, 128)) == 147_840
    # 114 bottlenecks of 128 and the stem's first, of 64.
    assert STUDY["4 convolutions"][1] - ORIGINAL[0] == 114 * 147_840 + 9 * 64**2 + 3 * 64


def test_two_convolutions_are_more_work_than_three() -> None:
    assert macs(on_meta(stacks=1, bottleneck_convs=2), 3, 256, 256) > macs(on_meta(stacks=1), 3, 256, 256)


def test_layer_norm_stays_out_of_the_stems_convolution_and_the_heads() -> None:
    model = on_meta(stacks=2, features=8, depth=1, norm="layer")
    plain = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert plain == ["stem.1", "features.0.1", "features.1.1"]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 64)])
def test_outputs_are_a_quarter_of_the_image(height: int, width: int) -> None:
    model = on_meta(stacks=2, features=8, depth=2, joints=5)
    outputs = model(torch.empty(3, 3, height, width, device="meta"))
    assert [tuple(out.shape) for out in outputs] == [(3, 5, height // 4, width // 4)] * 2


@pytest.mark.parametrize(("supervision", "outputs"), [("all", 3), ("final", 1), ("final_no_heads", 1)])
def test_supervision_decides_what_is_returned(supervision: str, outputs: int) -> None:
    model = on_meta(stacks=3, features=8, depth=1, supervision=supervision)
    assert len(model(torch.empty(1, 3, 32, 32, device="meta"))) == outputs


def test_supervising_the_last_stack_alone_keeps_or_drops_the_heads_between() -> None:
    everywhere = count(on_meta(stacks=4))
    assert count(on_meta(stacks=4, supervision="final")) == everywhere
    assert count(on_meta(stacks=4, supervision="final_no_heads")) == everywhere - 3 * 8_464


def test_the_last_output_is_the_same_whatever_is_returned() -> None:
    torch.manual_seed(0)
    whole, last = (build(stacks=2, features=8, depth=1, supervision=which).eval() for which in ("all", "final"))
    last.load_state_dict(whole.state_dict())
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(whole(image)[-1], last(image)[-1])


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = build(stacks=1, features=8, depth=1, dropout=0.5)
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(model(image)[-1], model(image)[-1])
        model.eval()
        assert torch.equal(model(image)[-1], model(image)[-1])


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({}, (256, 250), "size 256x250 is not divisible by 64 (4 x 2^depth, depth 4)"),
        ({"depth": [2, 3], "stacks": 2}, (48, 32), "size 48x32 is not divisible by 32 (4 x 2^depth, depth 3)"),
        ({"depth": [4, 4]}, (256, 256), "depth has 2 numbers for 8 stacks: give one number or one per stack"),
        ({"depth": 0}, (256, 256), "depth = 0: must be at least 1"),
        ({"depth": [1, 0], "stacks": 2}, (256, 256), "depth = [1, 0]: must be at least 1"),
        ({"stacks": 0}, (256, 256), "stacks = 0: must be at least 1"),
        ({"features": -1}, (256, 256), "features = -1: must be at least 1"),
        ({"blocks": 0}, (256, 256), "blocks = 0: must be at least 1"),
        ({"joints": 0}, (256, 256), "joints = 0: must be at least 1"),
        ({"dropout": 1.0}, (256, 256), "dropout = 1.0: must be at least 0 and below 1"),
        ({"resolution": "full"}, (60, 64), "size 60x64 is not divisible by 16 (2^depth, depth 4)"),
        (
            {"supervision": "inside", "depth": 1},
            (64, 64),
            "depth = 1: heads inside an hourglass need at least 2 levels",
        ),
        (
            {"classes": [2, 25]},
            (256, 256),
            "classes has 2 numbers for 8 stacks: give one number or one per stack",
        ),
        (
            {"classes": [25, 2], "stacks": 2},
            (256, 256),
            "classes = [25, 2]: each must be at least 1 and no fewer than the one before, coarse to fine",
        ),
        ({"classes": -1}, (256, 256), "classes = -1: must be at least 0"),
        (
            {"joint_branch": 4, "stacks": 4},
            (256, 256),
            "joint_branch = 4: must be 0 (none) to 3, the number of stacks before it",
        ),
    ],
)
def test_check_says_what_cannot_be_built(options: dict[str, Any], size: tuple[int, int], message: str) -> None:
    assert check(options, size) == message


def test_check_accepts_what_can_be_built() -> None:
    assert check({}, (256, 192)) is None
    assert check({"stacks": 2, "depth": [1, 2], "dropout": 0.2}, (32, 48)) is None


# An independent network, written from the paper: plain functions on the tensors of a state dict.

State = dict[str, Tensor]


def norm(state: State, name: str, x: Tensor) -> Tensor:
    """Batch norm by its running statistics; over all of an image where there are none."""
    if f"{name}.running_mean" in state:
        mean, variance = state[f"{name}.running_mean"][:, None, None], state[f"{name}.running_var"][:, None, None]
    else:
        mean = x.mean((1, 2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean((1, 2, 3), keepdim=True)
    gamma, beta = state[f"{name}.weight"][:, None, None], state[f"{name}.bias"][:, None, None]
    return (x - mean) / (variance + 1e-5).sqrt() * gamma + beta


def conv(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return nn.functional.conv2d(x, weight, state[f"{name}.bias"], stride, padding=weight.shape[-1] // 2)


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)


def halved(x: Tensor) -> Tensor:
    """The largest of each 2x2."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).amax((3, 5))


def doubled(x: Tensor) -> Tensor:
    """Each pixel four times."""
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def bottleneck(state: State, name: str, x: Tensor) -> Tensor:
    y, place = x, 0
    while f"{name}.residual.{place}.weight" in state:
        y = conv(state, f"{name}.residual.{place + 2}", relu(norm(state, f"{name}.residual.{place}", y)))
        place += 3
    return y + (conv(state, f"{name}.skip", x) if f"{name}.skip.weight" in state else x)


def several(state: State, name: str, x: Tensor) -> Tensor:
    place = 0
    while f"{name}.{place}.residual.0.weight" in state:
        x = bottleneck(state, f"{name}.{place}", x)
        place += 1
    return x


def hourglass(state: State, name: str, x: Tensor, depth: int) -> Tensor:
    low = several(state, f"{name}.down", halved(x))
    inner = several(state, f"{name}.inner", low) if depth == 1 else hourglass(state, f"{name}.inner", low, depth - 1)
    return several(state, f"{name}.skip", x) + doubled(several(state, f"{name}.up", inner))


def reference(state: State, image: Tensor, depths: list[int]) -> list[Tensor]:
    x = relu(norm(state, "stem.1", conv(state, "stem.0", image, stride=2)))
    x = bottleneck(state, "stem.6", bottleneck(state, "stem.5", halved(bottleneck(state, "stem.3", x))))
    outputs = []
    for i, depth in enumerate(depths):
        y = several(state, f"residuals.{i}", hourglass(state, f"hourglasses.{i}", x, depth))
        y = relu(norm(state, f"features.{i}.1", conv(state, f"features.{i}.0", y)))
        outputs.append(conv(state, f"heads.{i}", y))
        if i < len(depths) - 1:
            x = x + conv(state, f"remap_features.{i}", y) + conv(state, f"remap_heads.{i}", outputs[-1])
    return outputs


def randomised(model: nn.Module) -> nn.Module:
    """In eval mode and double precision, with every norm far from the identity that it starts as.

    The statistics fit small activations: with larger means every ReLU would put out zero and hide any fault.
    """
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
        if name.endswith("running_var"):
            tensor.copy_(0.1 + 0.4 * torch.rand(tensor.shape, generator=generator))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.uniform_(-0.5, 0.5, generator=generator)
    return model.double().eval()


def worst(model: nn.Module, depths: list[int], state: State | None = None) -> float:
    """The largest difference between network and reference, relative to the largest output."""
    image = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        expected = reference(state or model.state_dict(), image, depths)
        outputs = model(image)
    assert len(outputs) == len(expected)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(outputs, expected, strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stem": "paper"},
        {"blocks": 2},
        {"depth": [2, 1]},
        {"norm": "layer"},
        {"bottleneck_convs": 4},
        {"bottleneck_convs": 2},
        {"extra_residual": "low"},
        {"extra_residual": "skip"},
        {"dropout": 0.3},
    ],
    ids=str,
)
def test_agrees_with_the_reference(options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    model = randomised(build(**{"stacks": 2, "features": 8, "depth": 2, "joints": 3} | options))
    assert worst(model, options.get("depth", [2, 2])) < 1e-10


def swap_norms(model: nn.Module, _: pytest.MonkeyPatch) -> None:
    layers = model.residuals[0][0].residual
    layers[3], layers[6] = layers[6], layers[3]


def drop_skip(model: nn.Module, _: pytest.MonkeyPatch) -> None:
    model.hourglasses[1].skip = nn.Identity()


def smooth_upsampling(_: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = nn.functional.interpolate
    monkeypatch.setattr(
        nn.functional,
        "interpolate",
        lambda x, scale_factor, mode: plain(x, scale_factor=scale_factor, mode="bilinear"),
    )


def swap_branches(model: nn.Module, _: pytest.MonkeyPatch) -> None:
    hourglass = model.hourglasses[0]
    hourglass.up, hourglass.down = hourglass.down, hourglass.up


def smooth_pooling(model: nn.Module, _: pytest.MonkeyPatch) -> None:
    model.stem[4] = nn.AvgPool2d(2)


def forget_remap(model: nn.Module, _: pytest.MonkeyPatch) -> None:
    nn.init.zeros_(model.remap_heads[0].weight)


@pytest.mark.parametrize(
    "fault", [swap_norms, drop_skip, swap_branches, smooth_upsampling, smooth_pooling, forget_remap]
)
def test_the_reference_notices(
    fault: Callable[[nn.Module, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    model = randomised(build(stacks=2, features=8, depth=2, joints=3))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fault(model, monkeypatch)
    assert worst(model, [2, 2], state) > 1e-3


def test_a_scaled_stem_is_the_papers_at_its_width_and_narrower_below() -> None:
    paper, scaled = on_meta(stacks=1, stem="paper"), on_meta(stacks=1, stem="scaled")
    shapes = [{name: tuple(p.shape) for name, p in network.named_parameters()} for network in (paper, scaled)]
    assert shapes[0] == shapes[1]
    narrow = on_meta(stacks=1, features=32, depth=3, stem="scaled")
    assert count(narrow) == 180_400
    assert narrow.stem[0].out_channels == 16
    assert "multiple of 4" in (check({"stem": "scaled", "features": 30}, (256, 256)) or "")
