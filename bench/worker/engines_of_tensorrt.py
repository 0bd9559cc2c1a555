"""What Torch-TensorRT has built: its engines, the operators left in PyTorch, and the type that each layer runs in.

The engine inspector answers in JSON. An engine that was built with detailed profiling verbosity tells a layer's kind
and the format of each tensor; any other tells names alone (NVIDIA/TensorRT#4020, and the developer guide, "Engine
Inspector"). The words for formats are those of NVIDIA's engine explorer (trex/activations.py): "Row major linear FP16
format" of a kernel of the library, "Half" of a generated one. A layer's type is that of its first input, as there.
"""

import json
import operator
import re
from collections import Counter
from typing import Any

from torch import fx, nn
from torch.export import ExportedProgram

TYPES = {
    "fp32": "float32",
    "float": "float32",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp8": "float8",
    "int8": "int8",
}
"""Words of the inspector -> the type's name in torch."""

COPIES = {"Reformat", "NoOp", "Constant", "Shuffle"}
"""Kinds of layers that compute nothing, but bear the name of the one they serve."""

CONVOLUTION = re.compile(r"\[(?:DE)?CONVOLUTION\]")
"""How Torch-TensorRT names a convolution: "[CONVOLUTION]-[aten_ops.convolution.default]-[/stem/convolution]"."""

SHOWN = 3
"""Operators named in a note; the record has them all."""


class NamesOnly(Exception):
    """The inspector names the layers and nothing else."""


def engines_of(graph: nn.Module) -> list[nn.Module]:
    """The engines in a compiled network; they alone can tell of their layers."""
    return [module for module in graph.modules() if hasattr(module, "get_layer_info")]


def left_in_torch(graph: nn.Module) -> Counter[str]:
    """Operator -> how many calls of it are not in an engine."""
    found: Counter[str] = Counter()
    for module in graph.modules():
        if isinstance(module, fx.GraphModule):
            found += _operators(module.graph)
    return found


def operators_in(program: ExportedProgram) -> int:
    """Operators of an exported network once composite ones are taken apart, which is what Torch-TensorRT converts."""
    return _operators(program.run_decompositions().graph).total()


def _operators(graph: fx.Graph) -> Counter[str]:
    targets = [node.target for node in graph.nodes if node.op in ("call_function", "call_method")]
    return Counter(_shown(target) for target in targets if target is not operator.getitem)


def _shown(target: Any) -> str:
    """`aten.index_put` for each of its overloads."""
    return str(getattr(target, "overloadpacket", None) or getattr(target, "__name__", target))


def partial_note(engines: int, left: Counter[str], total: int) -> str:
    """What is said of a network that is only partly in engines.

    >>> partial_note(4, Counter({"aten.index_put": 3, "aten.full": 1}), 55)
    'partial: 4 engines, 4 of 55 ops in PyTorch (aten.index_put x3, aten.full)'
    """
    named = [f"{name} x{count}" if count > 1 else name for name, count in left.most_common(SHOWN)]
    more = ["..."] if len(left) > SHOWN else []
    plural = "s" if engines != 1 else ""
    return f"partial: {engines} engine{plural}, {left.total()} of {total} ops in PyTorch ({', '.join(named + more)})"


def layers_of(engine: Any) -> list[dict[str, Any]]:
    """The layers of an engine as its inspector tells them.

    Raises:
        NamesOnly: it was built without detailed profiling verbosity, or tells nothing that can be read.
    """
    try:
        layers = json.loads(engine.get_layer_info())["Layers"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise NamesOnly from None
    if not all(isinstance(layer, dict) for layer in layers):
        raise NamesOnly
    return list(layers)


def types_that_ran(layers: list[dict[str, Any]]) -> tuple[str, Counter[str]]:
    """What was counted, and type -> how many run in it.

    That is the convolutions; where the inspector shows none, all layers that compute in a known type.
    """
    found = [layer for layer in layers if is_convolution(layer)]
    if found:
        return "convolutions", Counter(type_of(layer) for layer in found)
    rest = Counter(type_of(layer) for layer in layers if layer.get("LayerType") not in COPIES)
    rest.pop("unknown", None)
    return "layers", rest


def is_convolution(layer: dict[str, Any]) -> bool:
    """Whether a layer convolves, by its kind (CaskConvolution, CaskConvActPool, ...) or by what was fused into it."""
    kind = str(layer.get("LayerType", ""))
    if kind in COPIES:
        return False
    if "conv" in f"{kind} {layer.get('ParameterType', '')}".lower():
        return True
    return bool(CONVOLUTION.search(f"{layer.get('Name', '')} {layer.get('Metadata', '')}"))


def type_of(layer: dict[str, Any]) -> str:
    """The type that a layer computes in, by its first input, else by its weights; `unknown` where neither tells.

    >>> type_of({"Inputs": [{"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}]})
    'float16'
    """
    told = [tensor.get("Format/Datatype", "") for tensor in layer.get("Inputs", [])[:1]]
    weights = layer.get("Weights")
    told += [weights.get("Type", "")] if isinstance(weights, dict) else []
    words = (word for text in told for word in re.findall(r"[a-z]+\d*", str(text).lower()))
    return next((TYPES[word] for word in words if word in TYPES), "unknown")
