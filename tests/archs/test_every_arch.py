"""What holds for every architecture, whatever it is."""

import pytest
import torch
from needed import load
from torch import Tensor, nn

from bench import plugins

NAMES = plugins.names("arch")


def outputs(name: str, seed: int) -> list[Tensor]:
    """What the network answers to one small image, built with its defaults from this seed."""
    torch.manual_seed(seed)
    model = load(name).build().eval()
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        result: list[Tensor] = model(image)
    return result


def test_there_are_architectures() -> None:
    assert "stacked_hourglass" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_default_and_an_annotation(name: str) -> None:
    options = plugins.options(plugins.path("arch", name), "build")
    assert options
    assert [option.name for option in options.values() if option.required] == []
    assert [option.name for option in options.values() if not option.annotation] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_are_of_their_own_types(name: str) -> None:
    options = plugins.options(plugins.path("arch", name), "build").values()
    assert [plugins.check_value(option, option.default) for option in options] == [None] * len(options)


@pytest.mark.parametrize("name", NAMES)
def test_forward_returns_a_list_of_finite_outputs_the_prediction_last(name: str) -> None:
    answer = outputs(name, seed=0)
    assert isinstance(answer, list)
    assert answer
    assert all(isinstance(out, Tensor) and out.shape[0] == 1 and torch.isfinite(out).all() for out in answer)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_network(name: str) -> None:
    first, again, other = outputs(name, seed=0), outputs(name, seed=0), outputs(name, seed=1)
    assert torch.equal(first[-1], again[-1])
    assert not torch.equal(first[-1], other[-1])


@pytest.mark.parametrize("name", NAMES)
def test_check_accepts_the_defaults(name: str) -> None:
    objection = getattr(load(name), "check", None)
    assert objection is None or objection({}, (256, 256)) is None


SMALL: dict[str, dict[str, object]] = {
    "encoder_decoder": {"widths": [4, 8, 8], "latent": 8},
    "fpn": {"features": 8, "depth": 2},
    "hrnet": {"width": 18},
    "smp": {"encoder": "mobilenet_v2"},
    "segnet_basic": {"filters": 4},
    "stacked_hourglass": {"stacks": 2, "features": 8, "depth": 2},
}
"""Options with which a test is quick; a network that is not named is tested with its defaults."""

SIZES = [(64, 64), (64, 128)]


def small(name: str) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = load(name).build(**SMALL.get(name, {}))
    return model


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str, size: tuple[int, int]) -> None:
    model = small(name).train()
    outputs = model(torch.rand(2, 3, *size))
    torch.stack([out.square().mean() for out in outputs]).sum().backward()
    wrong = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert wrong == []


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_it_exports(name: str, size: tuple[int, int]) -> None:
    model, image = small(name).eval(), torch.rand(1, 3, *size)
    with torch.no_grad():
        exported = torch.export.export(model, (image,)).module()
        for mine, theirs in zip(model(image), exported(image), strict=True):
            assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_one_graph_to_the_compiler(name: str) -> None:
    model, image = small(name).eval(), torch.rand(1, 3, *SIZES[0])
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        for mine, theirs in zip(model(image), compiled(image), strict=True):
            assert torch.allclose(mine, theirs, atol=1e-5)
