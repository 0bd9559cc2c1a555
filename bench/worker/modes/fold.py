"""Batch norms folded into the convolutions before them: fewer kernels and the same answers, to rounding.

Only a norm that directly follows a convolution can be folded. In a pre-activation network, where norm and ReLU stand
before each convolution, that leaves one in three: 239 of the 354 norms of the eight-stack hourglass go.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Literal

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bench.errors import Unavailable, first_line
from bench.worker.subject import Subject, watch

ORDER = 5
PHASES = ("infer",)
EXCLUDES: tuple[str, ...] = ()

# The same products, scaled before instead of after their sum; measured at most 8.4e-7 on the eight-stack hourglass.
TOLERANCE = 1e-5

FOLDABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
COUNTS = "batch_norms"
"""Key of the folded network's `meta`: how many batch norms ran in a forward before, and how many are left."""

UNTRACEABLE = (ValueError, TypeError, RuntimeError)
"""What torch.fx raises where a forward depends on its data (TraceError is a ValueError)."""


def probe() -> str | None:
    """Runs wherever torch runs; whether a network can be traced is for `apply` to say."""
    return None


def apply(subject: Subject, option: Literal[True]) -> Subject:
    """Trace a copy of the network and fold what can be folded.

    Raises:
        Unavailable: torch.fx cannot trace the network.
    """
    # Outside inference mode, so that the new weights are ordinary tensors in every later mode.
    with torch.inference_mode(False), torch.no_grad():
        try:
            folded = fx.symbolic_trace(deepcopy(subject.model))
        except UNTRACEABLE as error:
            raise Unavailable(f"torch.fx cannot trace this network ({first_line(error)})") from None
        before = norms_called(folded)
        for conv, norm in list(pairs(folded)):
            fold(folded, conv, norm)
        folded.graph.lint()
        folded.delete_all_unused_submodules()
        folded.recompile()
    folded.meta[COUNTS] = (before, norms_called(folded))
    return replace(subject, model=folded, call=folded, tolerance=max(subject.tolerance, TOLERANCE))


def prove(subject: Subject) -> str | None:
    """As many batch norms must run as were left, and fewer than before."""
    metas = (getattr(module, "meta", {}) for module in subject.model.modules())
    before, left = next((meta[COUNTS] for meta in metas if COUNTS in meta), (0, None))
    if left is None:
        return "mode not applied (the network is as it was built)"
    if left == before:
        return "mode not applied (no convolution is followed by a batch norm)"
    ran = watch(subject, (_BatchNorm,), lambda *_: None)
    if ran != left:
        return f"mode not applied ({ran} of {before} batch norms still run, {left} should)"
    return None


def norms_called(network: fx.GraphModule) -> int:
    """Batch norms that a forward calls."""
    return sum(isinstance(module_of(network, node), _BatchNorm) for node in network.graph.nodes)


def pairs(network: fx.GraphModule) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Each call of a convolution whose result goes into a batch norm and nowhere else, and that norm's call.

    A layer that is called twice is left alone: its weights serve the other call too. So is one with hooks, which may
    make its weights anew in each call (spectral norm), and a norm that takes its statistics from the batch.
    """
    calls = [node.target for node in network.graph.nodes if node.op == "call_module"]
    for node in network.graph.nodes:
        before = node.args[0] if node.args else None
        norm, conv = module_of(network, node), module_of(network, before)
        if not isinstance(before, fx.Node) or type(conv) not in FOLDABLE or not isinstance(norm, _BatchNorm):
            continue
        alone = len(before.users) == 1 and calls.count(before.target) == calls.count(node.target) == 1
        hooked = any((m._forward_pre_hooks or m._forward_hooks) for m in (conv, norm) if m is not None)
        if alone and not hooked and not norm.training and norm.running_mean is not None:
            yield before, node


def fold(network: fx.GraphModule, conv: fx.Node, norm: fx.Node) -> None:
    """Put the norm's scale and shift into the convolution's weights, and take the norm out of the graph."""
    old, statistics = module_of(network, conv), module_of(network, norm)
    assert isinstance(old, nn.modules.conv._ConvNd) and isinstance(statistics, _BatchNorm)
    parent, _, name = str(conv.target).rpartition(".")
    setattr(network.get_submodule(parent), name, fuse_conv_bn_eval(old, statistics))
    norm.replace_all_uses_with(conv)
    network.graph.erase_node(norm)


def module_of(network: fx.GraphModule, node: object) -> nn.Module | None:
    """The layer that a node of the graph calls; None where it calls none."""
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    return network.get_submodule(str(node.target))
