"""Blocks of a file: where they begin and end, what is an example, and how a table that stands in one is read."""

import pytest

from bench.errors import UsageError
from bench.leaderboard.blocks import blocks, replaced, tables
from bench.leaderboard.fill import ATTRIBUTES

BAD = [
    ("<!-- bench:begin a -->\n", "f:1: this block has no end"),
    ("x\n<!-- bench:end -->\n", "f:2: bench:end without a bench:begin"),
    ("<!-- bench:begin a -->\n<!-- bench:begin b -->\n", "f:2: a second bench:begin in the block of line 1"),
    ("<!-- bench:begin -->\n", "f:1: no suite"),
    ("<!-- bench:begin a\n", "f:1: a marker is a line of its own"),
    ("<!-- bench:begin a --> x\n", "f:1: a marker is a line of its own"),
    ("<!-- bench:begin a bye=x -->\n", "f:1: unknown attribute 'bye'; did you mean 'by'?"),
    ("<!-- bench:begin a by= -->\n", "f:1: attribute by needs one value"),
    ("<!-- bench:begin a by=x by=y -->\n", "f:1: attribute by needs one value"),
    ("<!-- bench:start a -->\n", "f:1: unknown marker bench:start"),
    ("<!-- bench:begin a -->\n<!-- bench:end\n", "f:2: a marker is a line of its own; write <!-- bench:end -->"),
    ("<!-- bench:begin a -->\n<!-- bench:end --> x\n", "f:2: a marker is a line of its own; write <!-- bench:end -->"),
    ("x\n```sh\n\n<!-- bench:begin a -->\n", "f:2: this code fence has no end, so that the marker in line 4 is code"),
]


@pytest.mark.parametrize(("written", "said"), BAD, ids=[case[1][5:40] for case in BAD])
def test_markers_that_are_wrong_are_told_with_their_line(written: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        blocks(written, "f", ATTRIBUTES)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_markers_in_code_are_examples() -> None:
    fenced = "```md\n<!-- bench:begin a -->\n```\n\n~~~~\n```\n<!-- bench:end -->\n~~~~\n`<!-- bench:begin x -->`\n"
    assert blocks(fenced, "f", ATTRIBUTES) == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_new_text_takes_the_line_ends_of_the_file(end: str) -> None:
    before = end.join(["top", "<!-- bench:begin a mode=b -->", "old", "<!-- bench:end -->", "bottom"])
    (block,) = blocks(before, "f", ATTRIBUTES)
    assert (block.suite, block.attributes, block.body) == ("a", {"mode": "b"}, "old")
    after = replaced(before, [(block, "one\ntwo\n")])
    assert after == end.join(
        ["top", "<!-- bench:begin a mode=b -->", "", "one", "two", "", "<!-- bench:end -->", "bottom"]
    )


BLOCK = "<!-- bench:begin a -->\n<!-- bench:end -->\n"


@pytest.mark.parametrize(
    "before",
    [
        "```inline code``` opens a paragraph\n",
        "~~~\n```\n~~~\n",
        "```md\n    ```\n```\n",
        "- ```sh\n  bench run\n  ```\n",
        "1. ```sh\n   bench run\n   ```\n",
        "10. ```sh\n    bench run\n    ```\n",
        "* a\n  - ```sh\n    bench run\n    ```\n",
        "-\t```sh\n\tbench run\n\t```\n",
        "> ```sh\n> bench run\n> ```\n",
        ">```sh\n>bench run\n>```\n",
        "> - ```sh\n>   bench run\n>   ```\n",
        "- ```sh\n  the item ends, and the fence with it\n\n",
        "> ```sh\n> the quote ends, and the fence with it\n\n",
        "    ```\n    indented code\n",
        "- - -\n",
        "``\n",
    ],
)
def test_what_stands_above_a_block_does_not_hide_it(before: str) -> None:
    (block,) = blocks(before + BLOCK, "f", ATTRIBUTES)
    assert block.line == before.count("\n") + 1


@pytest.mark.parametrize(
    "example",
    [
        f"```md\n{BLOCK}```\n",
        f"````md\n```\n{BLOCK}````\n",
        f"~~~ `\n{BLOCK}~~~~\n",
        f"```md\n> ```\n{BLOCK}```\n",
        "- ```md\n  <!-- bench:begin a -->\n  <!-- bench:end -->\n  ```\n",
        "> ```md\n> <!-- bench:begin a -->\n> ```\n",
        "```md\nno marker, no end\n",
    ],
)
def test_markers_in_a_fence_are_examples(example: str) -> None:
    assert blocks(example, "f", ATTRIBUTES) == []


def test_a_table_is_read_with_what_its_marks_stand_for() -> None:
    body = (
        "**H**: x\n\n| a <sup>b</sup> | c \\| d |\n| - | - |\n| 1 <sup>x,y</sup> | \\~2 |\n\n"
        "<sup>b</sup> of a  \n<sup>x</sup> of \\*1\\*  \n\n| e |\n| - |\n| 3 <sup>x</sup> |\n\n<sup>x</sup> of 3\n"
    )
    first, second = tables(body)
    assert first.heading == second.heading == "**H**: x"
    assert first.heads == (("a", ("of a",)), ("c | d", ())) and first.rows == ((("1", ("of *1*",)), ("~2", ())),)
    assert second.rows == ((("3", ("of 3",)),),)
