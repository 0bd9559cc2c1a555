"""Parts, groups and coarser labels, against tables written out by name."""

from itertools import pairwise, product

import pytest
import torch

from bench.errors import Failed
from bench.worker import parts

MEMBERS = {
    "background": ["background"],
    "head": ["head"],
    "torso": ["hips", "spine", "spine1", "spine2"],
    "upper_legs": ["left_up_leg", "right_up_leg"],
    "lower_legs": ["left_leg", "right_leg"],
    "neck": ["neck"],
    "shoulder": ["left_shoulder", "right_shoulder"],
    "upper_arms": ["left_arm", "right_arm"],
    "lower_arms": ["left_fore_arm", "right_fore_arm"],
    "feet": ["left_foot", "right_foot"],
    "hands": ["left_hand", "right_hand"],
    "fingers": ["left_hand_index1", "right_hand_index1"],
    "toes": ["left_toe_base", "right_toe_base"],
}

REGIONS = {
    "background": ["background"],
    "head": ["head", "neck"],
    "torso": ["torso", "shoulder"],
    "arms": ["upper_arms", "lower_arms", "hands", "fingers"],
    "legs": ["upper_legs", "lower_legs", "feet", "toes"],
}

SURREAL = {1: "hips", 2: "left_up_leg", 6: "right_leg", 8: "left_foot", 11: "left_toe_base", 16: "head"}
SURREAL |= {18: "right_arm", 19: "left_fore_arm", 22: "right_hand", 24: "right_hand_index1"}

FLIPPED = ((2, 3), (5, 6), (8, 9), (11, 12), (14, 15), (17, 18), (19, 20), (21, 22), (23, 24))


def test_classes_are_the_background_and_the_parts_of_surreal_in_its_order() -> None:
    assert len(parts.CLASSES) == len(set(parts.CLASSES)) == 25
    assert {number: parts.CLASSES[number] for number in SURREAL} == SURREAL
    sides = {(number, other) for number, other in FLIPPED}
    assert sides == {
        (number, parts.CLASSES.index(name.replace("left", "right")))
        for number, name in enumerate(parts.CLASSES)
        if name.startswith("left")
    }


def test_groups_have_their_members() -> None:
    assert list(MEMBERS) == list(parts.GROUPS)
    found = {name: [parts.CLASSES[part] for part in parts.members(n)] for n, name in enumerate(parts.GROUPS)}
    assert found == MEMBERS


def parents(classes: int) -> dict[str, set[str]]:
    """Name at a level -> names of its classes."""
    found: dict[str, set[str]] = {name: set() for name in parts.NAMES[classes]}
    for part, parent in enumerate(parts.LEVELS[classes]):
        found[parts.NAMES[classes][parent]].add(parts.CLASSES[part])
    return found


def test_levels_merge_what_they_say() -> None:
    assert list(parts.LEVELS) == list(parts.NAMES) == [2, 5, 13, 25]
    assert parents(25) == {name: {name} for name in parts.CLASSES}
    assert parents(13) == {name: set(members) for name, members in MEMBERS.items()}
    assert parents(5) == {name: {c for group in groups for c in MEMBERS[group]} for name, groups in REGIONS.items()}
    assert parents(2) == {"background": {"background"}, "person": set(parts.CLASSES[1:])}


def test_every_class_has_one_parent_at_every_coarser_level() -> None:
    for coarser, finer in pairwise(parts.LEVELS):
        above: dict[int, set[int]] = {}
        for mine, theirs in zip(parts.LEVELS[finer], parts.LEVELS[coarser], strict=True):
            above.setdefault(mine, set()).add(theirs)
        assert [len(above[mine]) for mine in range(finer)] == [1] * finer


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("classes", [2, 5, 13, 25])
def test_labels_become_those_of_their_parents(classes: int, kind: torch.dtype) -> None:
    labels = torch.arange(25, dtype=kind).view(5, 1, 5)
    found = parts.coarse(labels, classes)
    assert (found.shape, found.dtype) == (labels.shape, kind)
    assert found.flatten().tolist() == list(parts.LEVELS[classes])
    assert labels.flatten().tolist() == list(range(25)), "what was given is not written to"


@pytest.mark.parametrize("classes", [2, 5, 13, 25])
def test_what_is_no_class_stays(classes: int) -> None:
    assert parts.coarse(torch.tensor([255, 25, 24], dtype=torch.uint8), classes)[:2].tolist() == [255, 25]
    assert parts.coarse(torch.tensor([-100, -1, 0, 300]), classes).tolist() == [-100, -1, 0, 300]
    assert parts.coarse(torch.tensor(16), classes).tolist() == {2: 1, 5: 1, 13: 1, 25: 16}[classes]
    assert parts.coarse(torch.zeros(0, 4, 4, dtype=torch.uint8), classes).shape == (0, 4, 4)


def test_a_count_without_a_level_is_told_so() -> None:
    with pytest.raises(Failed, match=r"^coarse-to-fine heads have 2, 5, 13 or 25 classes, not 7$"):
        parts.coarse(torch.zeros(1, dtype=torch.uint8), 7)


@pytest.mark.parametrize("kind", [torch.float32, torch.bool])
def test_labels_are_integers(kind: torch.dtype) -> None:
    with pytest.raises(Failed, match=f"^labels of parts are integers, not {kind}$"):
        parts.coarse(torch.zeros(1, dtype=kind), 5)


def test_merging_reads_no_value() -> None:
    """A tensor on the meta device has none: what would wait for a GPU raises."""
    labels = torch.zeros(2, 4, 4, dtype=torch.uint8, device="meta")
    assert parts.coarse(labels, 5).shape == (2, 4, 4)


@pytest.mark.parametrize("counts", [*product((2, 5, 13, 25), repeat=2), (2, 5, 13, 25), (2, 2, 25), (2, 25, 13)])
def test_heads_nest_where_none_is_coarser_than_the_one_before(counts: tuple[int, ...]) -> None:
    assert parts.nests(counts) is (list(counts) == sorted(counts))


@pytest.mark.parametrize("counts", [(7,), (2, 7), (3, 25), (1, 25), (25, 26)])
def test_counts_without_a_level_do_not_nest(counts: tuple[int, ...]) -> None:
    assert not parts.nests(counts)


def test_no_head_and_one_head_nest() -> None:
    assert parts.nests([])
    assert parts.nests([25])
