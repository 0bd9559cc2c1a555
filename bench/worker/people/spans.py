"""Spans: which pixels of each row a capsule covers. A capsule costs its rows, not its pixels."""

import torch
from torch import Tensor

from bench.worker.people.draws import root

SHORTEST = 1e-6
"""Pixels: keeps the axis of a capsule that is a disc from being 0 / 0."""


def spans(ends: Tensor, radii: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Every row of pixel centres that a capsule crosses within an image of (H, W), and its columns there.

    The hull of two discs is bounded on a row by the discs' chords and by the two tangents, where those cross it.

    Args:
        ends: M 2 2, centres of both discs, (x, y).
        radii: M 2; a capsule with a negative radius has no rows.

    Returns:
        Of T rows in all: 2 T, the capsule's number and the row; T, the first column; T, the one behind the last.
    """
    capsule, row = _rows(ends[..., 1], radii, size[0])
    facts = torch.cat([_discs(ends, radii), _tangents(ends, radii)], 0).index_select(1, capsule)
    height = row + 0.5
    x, y, square = facts[:6].view(3, 2, -1)
    above = height - y
    chord = square - above * above
    crossed = chord >= 0
    half = root(chord.clamp_(min=0))
    low = torch.where(crossed, x - half, size[1]).amin(0)
    high = torch.where(crossed, x + half, 0).amax(0)
    x, y, run, rise = facts[6:].view(4, 2, -1)
    share = (height - y) / rise
    crossed = (share >= 0) & (share <= 1)
    edge = share * run + x
    low = torch.minimum(low, torch.where(crossed, edge, size[1]).amin(0))
    high = torch.maximum(high, torch.where(crossed, edge, 0).amax(0))
    start = (low - 0.5).ceil_().clamp_(0, size[1]).long()
    stop = (high - 0.5).floor_().add_(1).clamp_(0, size[1]).long()
    return torch.stack([capsule, row]), start, torch.maximum(start, stop)


def _rows(y: Tensor, radii: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """Number and row of each row that each capsule crosses: T, T."""
    top, bottom = (y - radii).amin(1), (y + radii).amax(1)
    first = (top - 0.5).ceil_().clamp_(0, height).long()
    count = (bottom - 0.5).floor_().add_(1).clamp_(0, height).long() - first
    count = count.clamp_(min=0) * (radii[:, 0] >= 0)
    capsule = torch.repeat_interleave(count)
    before = first + count - count.cumsum(0)
    return capsule, torch.arange(len(capsule), device=y.device) + before.index_select(0, capsule)


def _discs(ends: Tensor, radii: Tensor) -> Tensor:
    """x, y and squared radius of both discs: 6 M."""
    return torch.cat([ends[..., 0].t(), ends[..., 1].t(), (radii * radii).t()])


def _tangents(ends: Tensor, radii: Tensor) -> Tensor:
    """Of both outer tangents x and y at the first disc, and how far they run and rise to the second: 8 M."""
    along = ends[:, 1] - ends[:, 0]
    length = root(along[:, 0] * along[:, 0] + along[:, 1] * along[:, 1]).clamp(min=SHORTEST)
    unit = along / length[:, None]
    normal = torch.stack([-unit[:, 1], unit[:, 0]], 1)
    sine = ((radii[:, 0] - radii[:, 1]) / length).clamp(-1, 1)[:, None]
    cosine = root(1 - sine * sine)
    touch = torch.stack([unit * sine + normal * cosine, unit * sine - normal * cosine])  # line, M, (x, y)
    first, second = (ends[:, disc] + touch * radii[:, disc, None] for disc in range(2))
    run = second - first
    return torch.cat([first[..., 0], first[..., 1], run[..., 0], run[..., 1]])
