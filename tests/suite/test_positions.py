import pytest

from bench.suite.positions import Place, Problem, describe, line_of, line_of_broken

TEXT = """\
# a comment
title = "t"
measures = [
    "params",  # first
    "infer",
]

[data]
use = "random"
inner.key = 1

[modes.fp32]
[modes.fast]
amp = "bfloat16"

[[variants]]
name = "a"
options = { stacks = 8, features = [
    1, 2] }
[[variants.published]]
table = "T"
"pckh.mean14" = 1

[[variants]]
name = '''
b'''
train = { batch = 6 }

[profiles.quick]
rounds = 3
[profiles.quick.variant."a"]
train.batch = 2
[data2]
[profiles.gpu]
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("title",), 2),
        (("measures",), 3),
        (("measures", 1), 5),
        (("data",), 8),
        (("data", "use"), 9),
        (("data", "absent"), 8),
        (("data", "inner", "key"), 10),
        (("modes",), 12),
        (("modes", "fast"), 13),
        (("modes", "fast", "amp"), 14),
        (("variants",), 16),
        (("variants", 0), 16),
        (("variants", 0, "name"), 17),
        (("variants", 0, "options", "stacks"), 18),
        (("variants", 0, "options", "features"), 18),
        (("variants", 0, "options", "features", 0), 19),
        (("variants", 0, "options", "absent"), 18),
        (("variants", 0, "published", 0), 20),
        (("variants", 0, "published", 0, "pckh.mean14"), 22),
        (("variants", 1), 24),
        (("variants", 1, "name"), 25),
        (("variants", 1, "absent"), 24),
        (("variants", 1, "train", "batch"), 27),
        (("variants", 7, "name"), 16),
        (("profiles", "quick", "rounds"), 30),
        (("profiles", "quick", "variant", "a"), 31),
        (("profiles", "quick", "variant", "a", "train", "batch"), 32),
        (("profiles", "gpu"), 34),
        (("absent",), 1),
        ((), 1),
    ],
)
def test_line_of(place: Place, line: int) -> None:
    assert line_of(TEXT, place) == line


def test_describe_sorts_by_line_and_says_nothing_twice() -> None:
    problems = [
        Problem(("data", "use"), "unknown", "try"),
        Problem(("title",), "odd"),
        Problem(("data", "use"), "unknown", "try"),
    ]
    assert describe("s.toml", TEXT, problems) == ["s.toml:2: odd", "s.toml:9: unknown; try"]


def test_broken_toml_names_its_line() -> None:
    assert line_of_broken("a = 1\nb = \n", "Invalid value (at line 2, column 5)") == 2
    assert line_of_broken("a = 1\nb = [", "Unclosed array (at end of document)") == 2
