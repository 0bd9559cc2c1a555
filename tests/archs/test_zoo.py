"""Networks of other packages: the published counts where these are, what is asked of them where they are not."""

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from counted import count, macs, on_meta
from needed import load
from torch import Tensor, nn

from bench import plugins

ZOO = ("hrnet", "simple_baseline", "smp")


@pytest.mark.parametrize("name", ZOO)
def test_what_it_needs_is_read_without_importing_it(name: str) -> None:
    needs = plugins.needs(plugins.path("arch", name))
    assert needs.keys() <= {"segmentation_models_pytorch", "timm"}
    assert set(needs.values()) == {"pip install 'archbench[zoo]'"}


@pytest.mark.parametrize(
    ("name", "options", "size", "parameters", "multiply_adds"),
    [
        ("simple_baseline", {"joints": 17}, (256, 192), 33_999_697, 5_426_380_800),
        ("hrnet", {"joints": 17}, (256, 192), 28_536_113, 7_645_003_776),
        ("hrnet", {"joints": 17, "width": 48}, (256, 192), 63_595_745, 15_691_825_152),
        ("smp", {"family": "unet"}, (320, 320), 24_439_849, 12_563_251_200),
        ("smp", {"family": "fpn"}, (320, 320), 23_158_489, 10_730_700_800),
        ("smp", {"family": "deeplabv3plus"}, (320, 320), 22_443_625, 12_357_967_872),
        ("smp", {"family": "segformer", "encoder": "mit_b0"}, (320, 320), 3_720_569, 2_824_089_600),
    ],
)
def test_counts(name: str, options: dict[str, Any], size: tuple[int, int], parameters: int, multiply_adds: int) -> None:
    module = load(name)
    assert module.check(options, size) is None
    model = on_meta(module.build, **options).to("meta")
    assert count(model) == parameters
    assert macs(model, 3, *size) == multiply_adds
    (out,) = model(torch.empty(2, 3, *size, device="meta"))
    shape = (25, *size) if name == "smp" else (17, size[0] // 4, size[1] // 4)
    assert out.shape == (2, *shape)


@pytest.mark.parametrize(
    "options", [{"family": "fpn"}, {"family": "deeplabv3plus"}, {"family": "segformer", "encoder": "mit_b0"}], ids=str
)
def test_every_family_learns(options: dict[str, Any]) -> None:
    model = load("smp").build(**options).train()
    model(torch.rand(2, 3, 64, 64))[-1].square().mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []


def test_an_encoder_that_the_library_does_not_know_is_told() -> None:
    problem = load("smp").check({"encoder": "resnet35"}, (64, 64))
    assert problem and problem.startswith("encoder = 'resnet35': unknown to segmentation-models-pytorch")


class Body(nn.Module):
    """Stands in for timm's features: one layer of a stride, and the parts that an adaptor touches."""

    def __init__(self, asked: dict[str, Any], width: int, stride: int) -> None:
        super().__init__()
        self.asked = asked
        self.layer = nn.Conv2d(3, width, 1, stride=stride)
        self.stage4 = nn.ModuleList([nn.Module()])
        self.stage4[-1].fuse_layers = nn.ModuleList(nn.Identity() for _ in range(4))
        self.feature_info = SimpleNamespace(channels=lambda: [width])

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.layer(image)]


def timm(name: str, **asked: Any) -> Body:
    """Stands in for timm.create_model."""
    return Body({"name": name, **asked}, *((32, 4) if name.startswith("hrnet") else (64, 32)))


def one_of(family: str) -> Callable[..., nn.Module]:
    """Stands in for a class of segmentation-models-pytorch, and keeps what it was asked for."""

    def made(**asked: Any) -> nn.Module:
        model = nn.Conv2d(3, asked["classes"], 1)
        model.asked = {"name": family, **asked}  # type: ignore[assignment]
        return model

    return made


@pytest.fixture
def with_fakes(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports an architecture's file beside stand-ins for the packages that it needs."""
    families = {name: one_of(name) for name in ("Unet", "FPN", "DeepLabV3Plus", "Segformer")}
    encoders = SimpleNamespace(get_encoder_names=lambda: ["resnet34", "mit_b0"])
    library = SimpleNamespace(**families, encoders=encoders, __version__="0")
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", library)
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=timm))

    def imported(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"beside_fakes_{name}", plugins.path("arch", name))
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return imported


def test_hrnet_asks_for_features_at_a_quarter_and_keeps_what_is_read(with_fakes: Callable[[str], ModuleType]) -> None:
    model = with_fakes("hrnet").build(joints=5)
    assert model.body.asked == {
        "name": "hrnet_w32",
        "pretrained": False,
        "features_only": True,
        "feature_location": "",
        "out_indices": (1,),
    }
    assert len(model.body.stage4[-1].fuse_layers) == 1
    assert [tuple(out.shape) for out in model(torch.rand(2, 3, 64, 96))] == [(2, 5, 16, 24)]


def test_simple_baseline_enlarges_eight_times(with_fakes: Callable[[str], ModuleType]) -> None:
    model = with_fakes("simple_baseline").build(depth=101, joints=5)
    asked = {"name": "resnet101", "pretrained": False, "features_only": True, "out_indices": (4,)}
    assert model.body.asked == asked
    assert [tuple(out.shape) for out in model(torch.rand(2, 3, 64, 96))] == [(2, 5, 16, 24)]
    # 64 and 256 channels to 256, 4x4 without bias; scale and shift of three norms; a 1x1 head with bias.
    assert count(model) - count(model.body) == 256 * 16 * (64 + 256 + 256) + 3 * 2 * 256 + 5 * 257


@pytest.mark.parametrize(
    ("family", "name"),
    [("unet", "Unet"), ("fpn", "FPN"), ("deeplabv3plus", "DeepLabV3Plus"), ("segformer", "Segformer")],
)
def test_smp_downloads_nothing(with_fakes: Callable[[str], ModuleType], family: str, name: str) -> None:
    model = with_fakes("smp").build(family=family, encoder="mit_b0", classes=5)
    assert model.network.asked == {"name": name, "encoder_name": "mit_b0", "encoder_weights": None, "classes": 5}
    assert [tuple(out.shape) for out in model(torch.rand(2, 3, 64, 96))] == [(2, 5, 64, 96)]


@pytest.mark.parametrize(
    ("name", "options", "size", "problem"),
    [
        ("hrnet", {"joints": 0}, (64, 64), "joints = 0: must be at least 1"),
        ("simple_baseline", {"joints": 0}, (64, 64), "joints = 0: must be at least 1"),
        ("smp", {"classes": 0}, (64, 64), "classes = 0: must be at least 1"),
        ("hrnet", {}, (64, 80), "size 64x80 is not divisible by 32"),
        ("simple_baseline", {}, (80, 64), "size 80x64 is not divisible by 32"),
        ("smp", {}, (64, 80), "size 64x80 is not divisible by 32"),
        ("smp", {"encoder": "resnet35"}, (64, 64), "encoder = 'resnet35': unknown to segmentation-models-pytorch 0"),
        ("smp", {"encoder": "tu-anything"}, (64, 64), None),
    ],
)
def test_what_cannot_be_built_is_told(
    with_fakes: Callable[[str], ModuleType],
    name: str,
    options: dict[str, Any],
    size: tuple[int, int],
    problem: str | None,
) -> None:
    assert with_fakes(name).check(options, size) == problem
