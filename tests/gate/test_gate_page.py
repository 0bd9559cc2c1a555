"""How a judgement is shown: nothing wrong is folded away, and every format survives what a reason may hold."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from judgements import LATENCY, PCKH, THROUGHPUT, counted, everything, finding, judgement, passes

from bench.gate import PASS, STOPPED, VERDICTS, Finding, Judgement
from bench.gate.page import FORMATS, github, markdown, read, rows, show

PLAIN = ("terminal", "markdown", "json", "junit", "github")
NASTY = "failed: a|b <c> &amp; `d` [e](f) 100%, g:\nh\r\n\x1b[31mred\x1b[0m \x00\x08 ]]> \ud800\ufffe @torch"


@pytest.fixture(autouse=True)
def no_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of one width, outside of any workflow."""
    monkeypatch.setenv("COLUMNS", "120")
    for name in (github.SUMMARY, "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


def first(text: str) -> str:
    return text.splitlines()[0]


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ([], "NOT MEASURED: no figure was gated"),
        ([finding()], "PASS: all of 1 gated figure"),
        (passes(3), "PASS: all of 3 gated figures"),
        ([finding("INCONCLUSIVE"), *passes(3)], "INCONCLUSIVE: 1 of 4 gated figures (3 pass)"),
        ([finding("NOT COMPARABLE"), finding("INCONCLUSIVE")], "NOT COMPARABLE: 1 of 2 gated figures (1 inconclusive)"),
        (
            [*passes(33), finding("INCONCLUSIVE"), finding("REGRESSED"), finding("INCONCLUSIVE")],
            "REGRESSED: 1 of 36 gated figures (2 inconclusive, 33 pass)",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_verdict_comes_first(findings: list[Finding], said: str) -> None:
    found = judgement(*findings)
    line = f"{said}, working tree against HEAD~1 (abc1234)"
    assert rows.verdict_line(found) == line
    assert first(show(found, "terminal")) == line
    assert first(show(found, "markdown")) == f"## {line}".replace("~", "\\~")
    assert first(show(found, "github")) == line
    assert json.loads(show(found, "json"))["says"] == line


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "+31 % (+28 to +34)"),
        ({"change": (0.87, 0.85, 0.89)}, "-13 % (-15 to -11)"),
        ({"change": (1.023, 1.002, 1.044)}, "+2.3 % (+0.2 to +4.4)"),
        ({"change": (1.0, 0.997, 1.003)}, "+0.00 % (-0.30 to +0.30)"),
        ({"change": (1.31, None, None)}, "+31.0 %"),
        ({"change": (0.03, None, None)}, "-97.0 %"),
        ({"change": (1.0, None, None)}, "0 %"),
        ({"change": (float("inf"), None, None), "base": 0.0}, "from 0"),
        ({"change": (float("nan"), None, None)}, "not a number"),
        ({"change": None}, ""),
        ({"quantity": PCKH, "change": (-1.7, -2.6, -0.8)}, "-1.70 points (-2.60 to -0.80)"),
    ],
)
def test_a_change_has_the_digits_of_its_interval(fields: dict[str, object], said: str) -> None:
    assert rows.change(finding(**fields)) == said


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (finding(), ("206 ms", "270 ms")),
        (finding(base=0.9, head=90.0), ("0.0150 min", "1.50 min")),
        (finding(base=None, head=0.27), ("-", "270 ms")),
        (finding(base=0.206, head=float("nan")), ("206 ms", "nan")),
        (finding(base=0.0, head=0.0), ("0 ns", "0 ns")),
        (counted("a", 25_594_624, 30_000_000), ("25.59 M", "30 M")),
        (counted("a", 25_594_624, 25_594_625), ("25,594,624", "25,594,625")),
        (counted("a", 25_594_624, 25_594_624), ("25.59 M", "25.59 M")),
        (finding(quantity=THROUGHPUT, base=81.0, head=70.5), ("81.0 image/s", "70.5 image/s")),
    ],
)
def test_figures_are_in_one_human_unit_and_counts_that_differ_look_different(
    one: Finding, said: tuple[str, str]
) -> None:
    assert rows.figures(one) == said


def test_a_sentence_says_all_that_is_known() -> None:
    assert rows.sentence(finding()) == "206 ms -> 270 ms, +31 % (+28 to +34), rule 2%, 10 pairs, could see >= 4.5 %"
    fallen = finding(quantity=THROUGHPUT, base=81.0, head=70.5, change=(0.87, 0.85, 0.89), pairs=1, reason="why")
    assert rows.sentence(fallen) == (
        "81.0 image/s -> 70.5 image/s, -13 % (-15 to -11), lower is worse, rule 2%, 1 pair, could see >= 4.5 %; why"
    )
    missing = finding(head=None, change=None, pairs=0, detectable=None, reason="oom: 2 GiB short")
    assert rows.sentence(missing) == "base 206 ms, head has no figure, rule 2%; oom: 2 GiB short"


def test_rules_and_what_was_visible_of_scores_are_points() -> None:
    score = finding(quantity=PCKH, rule="1%", detectable=0.012)
    assert (rows.rule(score), rows.detectable(score)) == ("1 point", ">= 1.2 points")
    assert (rows.rule(finding(rule="0.5%")), rows.detectable(finding(detectable=0.123))) == ("0.5%", ">= 12 %")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("form", ["terminal", "markdown"])
def test_what_does_not_pass_is_in_full_and_every_cell_has_its_reason(
    form: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    page = show(everything(), form)
    flat = " ".join(page.replace("\\", "").split())
    for one in everything().findings:
        if one.verdict != "PASS" or one.reason.startswith("accepted"):
            assert one.cell in flat
            assert (rows.change(one) or "-") in flat
    assert "machine 11112222 is not 3f2a91c0" in flat
    assert "accepted: wider head, see the notes" in flat
    if form == "terminal":
        assert max(len(line) for line in page.splitlines()) <= width
        assert "v0/fast/latency" not in page and "\x1b" not in page


def test_verdicts_are_listed_worst_first_whatever_the_order() -> None:
    found = everything()
    turned = msgspec.structs.replace(found, findings=found.findings[::-1])
    for form in ("terminal", "markdown"):
        page = show(turned, form)
        heads = re.findall(rf"^(?:### |<details><summary>)?({'|'.join(VERDICTS)}|\d+ pass)\b.*\(", page, re.M)
        heads = [PASS if "pass" in head else head for head in heads]
        assert list(dict.fromkeys(heads[form == "terminal" :])) == list(VERDICTS)


def test_passes_are_counted_by_rule_unless_they_are_few() -> None:
    page = show(judgement(*passes(12)), "terminal")
    assert "PASS (12)" in page and "v11/fast/latency" in page
    page = show(judgement(*passes(13), counted("a", 5, 5, reason="the same: exactly")), "terminal")
    assert "PASS (14): 13 latency (2%, could see >= 3.0 %), 1 params (exact, 1 the same)" in page
    assert "v11" not in page


def test_in_markdown_passes_are_folded_but_there() -> None:
    page = show(judgement(finding("REGRESSED"), *passes(20)), "markdown")
    folded = page[page.index("<details>") : page.index("</details>")]
    assert folded.count("/fast/latency") == 20
    assert "<summary>20 pass: 20 latency (2%, could see &gt;= 3.0 %)</summary>\n\n|" in folded
    assert "original/fast/latency" in page.partition("<details>")[0]


def test_the_notes_say_the_machine_the_directions_and_how_to_accept() -> None:
    page = show(everything(), "terminal")
    for line in (
        "throughput: higher is better, so that a fall is worse",
        "latency: the rule was 3% at the base",
        "Machine 3f2a91c0: cpu Example CPU, threads 2, gpus name Example GPU power_limit 300",
        "Measured in 3 min 20 s",
    ):
        assert line in page.splitlines()
    command = 'bench accept "original/fast/latency" --reason "..."'
    regressed = judgement(finding("REGRESSED"), finding("INCONCLUSIVE", "b"))
    assert f"To accept an intended change: {command}" in show(regressed, "terminal")
    assert f"`{command}`" in show(regressed, "markdown")
    assert "it fails the gate with --strict alone" in " ".join(show(regressed, "terminal").split())
    assert "bench accept" not in show(judgement(finding("INCONCLUSIVE")), "terminal")


@pytest.mark.parametrize("form", PLAIN)
def test_whatever_a_reason_holds_the_page_stays_a_page(form: str) -> None:
    reason = NASTY.replace("\ud800", "") if form == "json" else NASTY
    page = show(judgement(finding("NOT MEASURED", 'x|"<&>y', reason=reason), passes(1)[0]), form)
    if form == "json":
        assert json.loads(page)["findings"][0]["reason"] == reason
        return
    assert not any(c in page for c in "\x1b\x00\x08\ud800\ufffe")
    page.encode()
    if form == "junit":
        message = ET.fromstring(page).find(".//error")
        assert message is not None and message.attrib["message"].endswith("h red ]]> @torch")
    if form == "markdown":
        (line,) = [line for line in page.splitlines() if "failed:" in line]
        assert line.count("|") - line.count("\\|") == 2 + line.count(" | "), "no cell more than there are columns"
        assert "@torch" not in line and "\\[e\\](f)" in line and "\\<c>" in line
    if form == "github":
        assert len(page.splitlines()) == 2


def test_json_holds_everything_and_can_be_read_again(tmp_path: Path) -> None:
    found = everything()
    page = json.loads(show(found, "json"))
    assert page["counts"] == {verdict: found.count(verdict) for verdict in VERDICTS}
    assert (page["verdict"], page["exit_code"], len(page["findings"])) == ("REGRESSED", 1, 23)
    assert page["findings"][0]["cell"] == found.findings[0].cell
    path = tmp_path / "judgement.json"
    path.write_text(show(found, "json"), encoding="utf-8")
    assert read(path) == found
    assert json.loads(show(read(path), "json")) == page


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    found = judgement(
        finding("NOT MEASURED", head=float("nan"), change=(float("nan"), None, None)),
        counted("a", 0, 5, "REGRESSED"),
        finding("INCONCLUSIVE", change=(1.0, 0.9, float("inf")), detectable=float("inf")),
    )
    one, two, three = json.loads(show(found, "json"))["findings"]
    assert (one["head"], one["change"], two["change"]) == (None, None, None)
    assert (three["change"], three["detectable"]) == ([1.0, 0.9, None], None)
    path = tmp_path / "judgement.json"
    path.write_text(show(found, "json"), encoding="utf-8")
    assert [one.verdict for one in read(path).findings] == [one.verdict for one in found.findings]


def test_json_counts_what_is_inconclusive_as_the_command_does() -> None:
    found = [judgement(finding("INCONCLUSIVE"), **fields) for fields in ({}, {"strict": True}, {"notes": [STOPPED]})]
    assert [json.loads(show(one, "json"))["exit_code"] for one in found] == [0, 3, 130]


def test_junit_fails_what_is_inconclusive_where_that_was_asked_for() -> None:
    (case,) = ET.fromstring(show(judgement(finding("INCONCLUSIVE"), strict=True), "junit")).findall(".//testcase")
    assert case.find("failure") is not None and case.find("skipped") is None


CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped", "system-out"},
}
"""What stands in what, as JUnit's readers expect it."""
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "property": {"name", "value"},
    "testcase": {"classname", "name"},
    **{name: {"type", "message"} for name in ("failure", "error", "skipped")},
}


def test_junit_is_what_its_readers_expect() -> None:
    page = show(everything(), "junit")
    assert first(page) == '<?xml version="1.0" encoding="UTF-8"?>'
    root = ET.fromstring(page)
    for element in root.iter():
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set()), element.tag
        assert set(element.attrib) == ATTRIBUTES.get(element.tag, set()), element.tag
    (suite,) = root
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 23, "failures": 3, "errors": 2, "skipped": 2}
    assert [len(suite.findall(f"testcase/{name}")) for name in ("failure", "error", "skipped")] == [3, 2, 2]


def test_junit_has_a_case_for_each_finding() -> None:
    cases = ET.fromstring(show(everything(), "junit")).findall(".//testcase")
    assert [case.attrib["name"] for case in cases] == [one.cell for one in everything().findings]
    assert cases[1].attrib["classname"] == "study.original"
    failure = cases[1].find("failure")
    assert failure is not None and failure.attrib["message"].startswith(
        "REGRESSED: 81.0 image/s -> 70.5 image/s, -13 %"
    )


def test_a_gate_without_findings_is_an_error_in_junit_and_in_a_workflow() -> None:
    suite = ET.fromstring(show(judgement(), "junit"))[0]
    assert (suite.attrib["tests"], suite.attrib["errors"]) == ("1", "1")
    assert show(judgement(), "github").splitlines()[1].startswith("::error title=nothing was gated::NOT MEASURED")


def test_annotations_stand_at_the_variants_line() -> None:
    lines = show(everything(), "github").splitlines()[1:]
    assert lines[1] == (
        "::error file=suites/study.toml,line=12,title=REGRESSED%3A original/fast/throughput::81.0 image/s -> "
        "70.5 image/s, -13 %25 (-15 to -11), lower is worse, rule 3%25, 10 pairs, could see >= 4.5 %25"
    )
    assert [line.split()[0] for line in lines] == ["::error"] * 3 + ["::warning"] * 4
    assert [line for line in lines if "pckh" in line and ",line=" in line] == [], "line 0 is no line"


@pytest.mark.parametrize(
    ("path", "workspace", "file"),
    [
        ("suites/x.toml", "/w", "suites/x.toml"),
        ("/w/suites/x.toml", "/w", "suites/x.toml"),
        ("/elsewhere/x.toml", "/w", "/elsewhere/x.toml"),
        ("/w/a,b:c%.toml", "/w", "a%2Cb%3Ac%25.toml"),
    ],
)
def test_annotations_name_the_file_from_the_root_of_the_checkout(path: str, workspace: str, file: str) -> None:
    found = judgement(finding("REGRESSED"), path=path)
    (line,) = github.annotations(found, {"GITHUB_WORKSPACE": workspace})
    assert line.startswith(f"::error file={file},line=12,title=")


def test_annotations_beyond_what_is_shown_are_named_in_the_last() -> None:
    many = [finding("REGRESSED", f"v{i}") for i in range(12)]
    lines = list(github.annotations(judgement(*many, finding("INCONCLUSIVE", "w")), {}))
    assert len(lines) == 11
    assert lines[9] == (
        "::error title=3 more%2C see the step's summary::v9/fast/latency, v10/fast/latency, v11/fast/latency"
    )
    assert lines[10].startswith("::warning file=")


def test_the_summary_is_appended_to_the_steps_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv(github.SUMMARY, str(path))
    show(everything(), "github")
    assert path.read_text(encoding="utf-8") == "before\n" + show(everything(), "markdown") + "\n"
    monkeypatch.setenv(github.SUMMARY, str(tmp_path))
    assert show(everything(), "github").splitlines()[-1].startswith("::warning title=no step summary::")


def large(count: int = 400) -> Judgement:
    few = [finding("INCONCLUSIVE", f"w{i}") for i in range(20)]
    return judgement(*passes(count), *few, finding("REGRESSED"), finding("NOT MEASURED", "deep", reason="oom: x"))


@pytest.mark.parametrize("limit", [1500, 3000, 6000, 20_000])
def test_a_summary_that_is_too_long_loses_what_is_least(limit: int) -> None:
    page = markdown.summary(large(), limit)
    assert len(page.encode()) <= limit
    assert "original/fast/latency" in page and first(page).startswith("## REGRESSED: 1 of 422 gated figures")
    shown = page.count("/fast/latency |") + page.count("/fast/latency  ")
    (line,) = [line for line in page.splitlines() if "more in the artifact" in line]
    left = int(line.split()[0].strip("*"))
    assert 0 < left < 422 and left + page.count("\n| ") - page.count("\n| cell") == 422, shown
    if "inconclusive" in line:
        assert "<details>" not in page, "no pass is shown where something worse is not"


def test_a_summary_uses_the_room_that_there_is() -> None:
    whole = show(large(), "markdown") + "\n"
    assert markdown.summary(large(), len(whole.encode())) == whole
    cut = markdown.summary(large(), len(whole.encode()) - 1)
    assert 0 < len(whole) - len(cut) < 400
    assert len(markdown.summary(large(), 100).encode()) <= 100


def test_what_was_written_before_counts_against_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("x" * 5000, encoding="utf-8")
    assert github.append(large(), path, limit=8000) == []
    assert 7000 < path.stat().st_size <= 8000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read (No such file or directory); bench gate writes a judgement.json"),
        ("{", "1: not a judgement of bench ("),
        ('{"suite": "a"}', "1: not a judgement of bench (Object missing required field `path`); name a judgement.json"),
        ("\udcff", "1: not a judgement of bench ("),
    ],
)
def test_a_file_that_is_no_judgement(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "judgement.json"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    done = again(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and done.stderr.count("\n") == 1


def again(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.gate.page", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_judgement_is_shown_again_in_any_format(tmp_path: Path) -> None:
    path = tmp_path / "judgement.json"
    path.write_text(show(large(), "json"), encoding="utf-8")
    for form in ("terminal", "junit"):
        done = again(path, form)
        assert (done.returncode, done.stderr, done.stdout) == (0, "", show(large(), form) + "\n")
    short = again(path, "markdown", "--limit", 3000).stdout
    assert short == markdown.summary(large(), 3000)
    assert again(path, "junit", "--limit", 3000).returncode == 2


def test_formats_are_named_once() -> None:
    from bench.commands.gate import FORMATS as OFFERED

    assert OFFERED == FORMATS
    assert finding().quantity is LATENCY
