"""What the engine inspector's answers mean, in the forms in which TensorRT gives them."""

import json
from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

from bench.worker.engines_of_tensorrt import (
    NamesOnly,
    is_convolution,
    layers_of,
    left_in_torch,
    operators_in,
    partial_note,
    type_of,
    types_that_ran,
)


class Told:
    """An engine whose inspector says this."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_layer_info(self) -> str:
        return self.text


def layer(kind: str, form: str = "", **more: Any) -> dict[str, Any]:
    return {"Name": "x", "LayerType": kind, "Inputs": [{"Format/Datatype": form}] if form else [], **more}


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("Row major linear FP32", "float32"),
        ("Row major linear FP16 format", "float16"),
        ("Channel major FP16 format where channel % 8 == 0", "float16"),
        ("Thirty-two wide channel vectorized row major FP16 format", "float16"),
        ("Channel major BFloat16 format where channel % 8 == 0", "bfloat16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Half", "float16"),
        ("Float", "float32"),
        ("BFloat16", "bfloat16"),
        ("Row major linear Int32", "unknown"),
        ("Unknown format", "unknown"),
    ],
)
def test_formats_as_tensorrt_writes_them(form: str, name: str) -> None:
    assert type_of(layer("CaskConvolution", form)) == name


def test_weights_tell_where_the_input_does_not() -> None:
    assert type_of(layer("CaskConvolution", Weights={"Type": "Half", "Count": 9})) == "float16"
    assert type_of(layer("CaskConvolution", "Row major linear FP32", Weights={"Type": "Half"})) == "float32"
    assert type_of(layer("CaskConvolution")) == "unknown"


@pytest.mark.parametrize(
    ("told", "convolves"),
    [
        (layer("CaskConvolution"), True),
        (layer("CaskConvActPool"), True),
        (layer("CaskDeconvolutionV2"), True),
        (layer("CaskGemm", ParameterType="Convolution"), True),
        (layer("fusion", Metadata="[CONVOLUTION]-[aten_ops.convolution.default]-[/stem]"), True),
        (layer("Reformat", Name="Reformatting CopyNode for Input Tensor 0 to [CONVOLUTION]-[a]-[b]"), False),
        (layer("PointWiseV2"), False),
        (layer("kgen"), False),
    ],
)
def test_what_convolves(told: dict[str, Any], convolves: bool) -> None:
    assert is_convolution(told) is convolves


def test_copies_in_another_type_do_not_count() -> None:
    half = layer("CaskConvolution", "Half")
    layers = [layer("Reformat", "Row major linear FP32"), half, half, layer("PointWiseV2", "Float")]
    assert types_that_ran(layers) == ("convolutions", Counter(float16=2))


def test_where_no_layer_convolves_all_that_compute_count() -> None:
    layers = [layer("gemm", "Half"), layer("kgen", "Float"), layer("Constant", "Float"), layer("Shape", "Int64")]
    assert types_that_ran(layers) == ("layers", Counter(float16=1, float32=1))


def test_the_layers_of_a_detailed_engine() -> None:
    text = json.dumps({"Layers": [layer("CaskConvolution", "Half")], "Bindings": ["x"]})
    assert layers_of(Told(text)) == [layer("CaskConvolution", "Half")]


@pytest.mark.parametrize("text", ['{"Layers": ["conv + relu", "pool"]}', "", "[]", '{"Bindings": []}'])
def test_an_engine_that_tells_no_types_is_not_guessed_about(text: str) -> None:
    with pytest.raises(NamesOnly):
        layers_of(Told(text))


class Branching(nn.Module):
    """Two chunks, which take a getitem each, and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        one, other = self.norm(image).chunk(2, dim=1)
        return one + other


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch 2.13's own code, when it decomposes
def test_operators_are_counted_without_what_only_takes_a_tuple_apart() -> None:
    program = torch.export.export(Branching().eval(), (torch.rand(1, 4, 8, 8),), strict=False)
    left = left_in_torch(program.module(check_guards=False))
    assert left == Counter({"aten.batch_norm": 1, "aten.chunk": 1, "aten.add": 1})
    assert operators_in(program) >= left.total()


def test_a_note_names_the_most_frequent_operators_alone() -> None:
    left = Counter({"aten.index_put": 3, "aten.full": 2, "aten.mul": 2, "aten.arange": 1})
    note = partial_note(1, left, 55)
    assert note == "partial: 1 engine, 8 of 55 ops in PyTorch (aten.index_put x3, aten.full x2, aten.mul x2, ...)"
