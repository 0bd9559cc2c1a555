"""`bench leaderboard` through the command line: what it writes, what `--check` says, what it refuses."""

import gc
from pathlib import Path

import pytest
from boards import flagged
from builders import SUITE, records, trained
from command_line import Project, Typed
from jobs import header
from msgspec.structs import replace

from bench import store
from bench.record import Record

BLOCK = "<!-- bench:begin made_up{} -->\n<!-- bench:end -->\n"
CHART = BLOCK.format(" kind=pareto mode=fp32")


def measured(project: Project, found: list[Record], run: str = "20260105T100000Z-3f2a91c0") -> Path:
    folder = project.results / "made_up"
    with store.new_run(folder, header(run, suite=SUITE | {"rounds": 3})) as opened:
        for each in found:
            store.append(opened, each)
        return opened.path


@pytest.fixture
def made_up(project: Project) -> Path:
    return measured(project, [*records(), trained("original", 60.0), trained("slim", 50.0)])


def test_the_readme_is_written_and_then_left_alone(made_up: Path, project: Project, bench: Typed) -> None:
    readme = project.write("README.md", f"# Top\n\n{BLOCK.format('')}\nEnd\n")
    done = bench("leaderboard")
    assert (done.code, done.out, done.err) == (0, "", "README.md: written\n")
    text = readme.read_text()
    assert text.startswith("# Top\n\n<!-- bench:begin made_up -->\n\n**Example CPU") and text.endswith("\nEnd\n")
    assert "| original | fast |" in text
    stamp = readme.stat().st_mtime_ns
    assert bench("leaderboard").err == "nothing to write: all blocks are up to date\n"
    assert readme.stat().st_mtime_ns == stamp and readme.read_text() == text
    assert project.bench("leaderboard", "--check").code == 0, "another process gives the same bytes"


def test_the_usual_files_are_those_that_have_blocks(made_up: Path, project: Project, bench: Typed) -> None:
    (project.folder / "docs").mkdir()
    for name in ("README.md", "docs/b.md", "docs/none.md", "results/LEADERBOARD.md"):
        project.write(name, "no block\n" if "none" in name else BLOCK.format(""))
    assert bench("leaderboard").err.splitlines() == [
        f"{name}: written" for name in ("README.md", "results/LEADERBOARD.md", "docs/b.md")
    ]


def test_check_names_what_is_stale_and_writes_nothing(made_up: Path, project: Project, bench: Typed) -> None:
    text = f"top\n{BLOCK.format('')}{BLOCK.format(' mode=fast')}"
    page = project.write("page one.md", text)
    done = bench("leaderboard", "page one.md", "--check", "--results", "results")
    assert done.code == 1
    assert done.err == "page one.md:2: stale; refresh it with: bench leaderboard 'page one.md'\n"
    assert page.read_text() == text
    assert bench("leaderboard", "page one.md").code == 0
    assert bench("leaderboard", "page one.md", "--check").code == 0
    page.write_text(page.read_text().replace("| original | fast |", "| original | slow |", 1))
    assert bench("leaderboard", "page one.md", "--check").err.startswith("page one.md:2: stale")
    measured(
        project, [replace(each, started="2026-02-02T00:00:00Z") for each in records()], "20260202T000000Z-3f2a91c0"
    )
    assert bench("leaderboard", "page one.md", "--check").code == 1


SCORED = {"original": 60.0, "slim": 50.0}


def test_a_document_s_claims_are_a_block_too(project: Project, bench: Typed) -> None:
    claims = [
        {"says": "slim is faster", "where": "section 1", "holds_if": ["latency('slim') < latency('original')"]},
        {"says": "deep is smaller", "holds_if": ["params('deep') < params('original')"]},
        {"says": "slim is worse", "holds_if": ["pckh.total('slim') < pckh.total('original')", "params('slim') > 0"]},
    ]
    with store.new_run(
        project.results / "made_up", header("20260105T100000Z-3f2a91c0", suite=SUITE | {"claims": claims})
    ) as run:
        of = [(name, score, seed) for name, score in SCORED.items() for seed in range(3)]
        seeds = [trained(name, score + seed / 10, seed=seed, flags=("unconverged",)) for name, score, seed in of]
        for each in [*records(), *seeds]:
            store.append(run, each)
    page = project.write("page.md", BLOCK.format(" kind=claims"))
    assert bench("leaderboard", "page.md").code == 0
    text = page.read_text()
    assert "**3 claims: 2 hold, 1 fails**, on Example CPU" in text
    rows = {cells[1].strip(): cells[2].strip() for line in text.splitlines() if len(cells := line.split("|")) == 6}
    assert (rows["slim is faster (section 1)"], rows["deep is smaller"]) == ("holds", "fails")
    worse = next(line for line in text.splitlines() if line.startswith("| slim is worse"))
    assert "points<br>" in worse and "<sup>b</sup>" in worse, "its comparisons below each other, and their notes"
    assert "<sup>b</sup> unconverged: the score still rose" in text
    assert bench("leaderboard", "page.md", "--check").code == 0
    page.write_text(BLOCK.format(" kind=claims by=latency"))
    done = bench("leaderboard", "page.md")
    assert (done.code, done.err) == (2, "page.md:1: attribute by is of a table or a chart; leave it out\n")


def test_the_claims_of_a_run_of_trainings_alone_are_shown_where_its_profile_is_asked_for(
    project: Project, bench: Typed
) -> None:
    suite = SUITE | {"claims": [{"says": "slim is worse", "holds_if": ["pckh.total('slim') < pckh.total('original')"]}]}
    about = replace(header("20260105T100000Z-3f2a91c0", suite=suite), profile="accuracy")
    with store.new_run(project.results / "made_up", about) as run:
        for name, score in SCORED.items():
            for seed in range(3):
                store.append(run, trained(name, score + seed / 10, seed=seed))
    page = project.write("page.md", BLOCK.format(" kind=claims profile=accuracy"))
    assert bench("leaderboard", "page.md").code == 0
    assert "**1 claim: 1 holds**, on Example CPU" in page.read_text()
    page.write_text(BLOCK.format(" kind=claims"))
    assert "no run of made_up has times" in bench("leaderboard", "page.md").err


def test_a_chart_is_a_file_beside_the_page_and_is_checked_too(made_up: Path, project: Project, bench: Typed) -> None:
    (project.folder / "docs").mkdir()
    project.write("docs/page.md", CHART)
    assert bench("leaderboard", "--check").code == 1
    assert not (project.folder / "docs/images").exists()
    done = bench("leaderboard")
    assert done.err.splitlines() == ["docs/images/pareto_made_up.svg: written", "docs/page.md: written"]
    text = (project.folder / "docs/page.md").read_text()
    assert "](images/pareto_made_up.svg)" in text
    assert "- not drawn: deep: no accuracy: not trained" in text
    assert bench("leaderboard", "--check").code == 0
    chart = project.folder / "docs/images/pareto_made_up.svg"
    chart.write_bytes(chart.read_bytes().replace(b"slim", b"slam"))
    done = bench("leaderboard", "--check")
    assert done.code == 1 and "docs/page.md:1: docs/images/pareto_made_up.svg: stale" in done.err
    chart.unlink()
    assert bench("leaderboard", "--check").code == 1


def test_two_charts_do_not_share_a_file(made_up: Path, project: Project, bench: Typed) -> None:
    project.write("README.md", CHART + CHART.replace(" mode=fp32", ""))
    done = bench("leaderboard")
    assert done.code == 2
    assert done.err == "README.md:3: images/pareto_made_up.svg is the chart of README.md:1; write file=ANOTHER.svg\n"
    project.write("README.md", CHART + CHART)
    assert bench("leaderboard").code == 0


def test_line_ends_mode_and_link_of_a_file_stay(made_up: Path, project: Project, bench: Typed) -> None:
    real = project.write("real.md", "")
    real.write_bytes(f"top\n{BLOCK.format('')}".replace("\n", "\r\n").encode())
    real.chmod(0o640)
    link = project.folder / "link.md"
    link.symlink_to("real.md")
    assert bench("leaderboard", "link.md").code == 0
    assert link.is_symlink() and real.stat().st_mode & 0o777 == 0o640
    data = real.read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n") > 10
    assert bench("leaderboard", "link.md", "--check").code == 0
    assert [path.name for path in project.folder.iterdir() if path.name.startswith(".")] == []


def test_explain_prints_every_rule_and_writes_nothing(made_up: Path, project: Project, bench: Typed) -> None:
    readme = project.write("README.md", BLOCK.format(""))
    done = bench("leaderboard", "--explain")
    assert done.code == 0 and readme.read_text() == BLOCK.format("")
    assert "  original, fast: rank 1; meets measured, protocol, complete, rounds, interval, clean, answers" in done.out
    assert "  slim, fast: not ranked; meets measured" in done.out
    assert "    fails answers: the mode changes the answer beyond its tolerance (mismatch: " in done.out
    assert "bench run made_up --resume 20260105T100000Z-3f2a91c0 completes them" in done.out
    noisy = "    flagged, which costs no rank: noisy (the interval of the median is wider than the protocol asks for)"
    lines = done.out.splitlines()
    assert lines[next(n for n, line in enumerate(lines) if "deep, fp32: rank 4" in line) + 1] == noisy
    assert gc.isenabled()


def test_explain_names_newer_figures_that_are_not_shown(made_up: Path, project: Project, bench: Typed) -> None:
    project.write("README.md", BLOCK.format(""))
    cut = [replace(each, started="2026-02-02T00:00:00Z") for each in records() if each.job.round == 0]
    measured(project, cut, "20260202T000000Z-3f2a91c0")
    said = bench("leaderboard", "--explain").out
    assert "  original, fp32: rank 3; meets" in said
    assert "    newer times of run 20260202T000000Z-3f2a91c0, not shown: some jobs that were planned" in said
    again = [replace(flagged(each, "contended"), started="2026-02-03T00:00:00Z") for each in records()]
    made_up.unlink()
    measured(project, again, "20260203T000000Z-3f2a91c0")
    said = bench("leaderboard", "--explain").out
    assert "    fails sound: a flag says that the figure itself is off (contended: other processes" in said


def test_a_table_needs_neither_the_suite_s_file_nor_a_chart(made_up: Path, project: Project) -> None:
    project.write("README.md", BLOCK.format(""))
    done = project.bench("leaderboard", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in done.err.splitlines() if line.startswith("import time:")}
    assert done.code == 0 and "bench.leaderboard.fill" in imported
    assert not imported & {"pydantic", "tomlkit", "altair", "bench.suite", "bench.claims", "bench.draw.pareto"}


def test_rows_stay_when_a_profile_has_no_run_any_more(made_up: Path, project: Project, bench: Typed) -> None:
    page = project.write("page.md", BLOCK.format(" profile=quick"))
    assert bench("leaderboard", "page.md").code == 0
    made_up.unlink()
    with store.new_run(
        project.results / "made_up", header("20260302T000000Z-3f2a91c0", suite=SUITE, profile="gpu")
    ) as opened:
        store.append(opened, records()[0])
    done = bench("leaderboard", "page.md", "--check")
    assert done.code == 1 and done.err.startswith("page.md:1: stale")
    assert bench("leaderboard", "page.md").code == 0
    assert page.read_text().count("stale (2026-01-05)") == 6
    assert bench("leaderboard", "page.md", "--check").code == 0


def test_an_unreadable_run_is_told_and_left_out(made_up: Path, project: Project, bench: Typed) -> None:
    project.write("README.md", BLOCK.format(""))
    (project.results / "made_up" / "20270101T000000Z-3f2a91c0.jsonl").write_text("")
    with made_up.open("ab") as file:
        file.write(b'{"type": "rec')
    done = bench("leaderboard")
    assert done.code == 0
    assert [line.partition(": ")[2][:12] for line in done.err.splitlines()][:2] == ["not a run of", "torn last li"]


BAD = [
    ([], {}, "no block in README.md, results/LEADERBOARD.md or docs/*.md; write <!-- bench:begin SUITE -->"),
    (["a.md"], {}, "a.md: cannot read (No such file or directory); name a markdown file"),
    (["a.md"], {"a.md": "none\n"}, "a.md:1: no block; write <!-- bench:begin SUITE --> and <!-- bench:end -->"),
    (["a.md"], {"a.md": "\n<!-- bench:begin made_up -->\n"}, "a.md:2: this block has no end; write <!-- bench:end -->"),
    (
        ["a.md"],
        {"a.md": BLOCK.format("").replace("_up", "_op")},
        "a.md:1: unknown suite 'made_op'; did you mean 'made_up'?",
    ),
    (
        ["a.md"],
        {"a.md": BLOCK.format("").replace("made_up", "tiny")},
        "a.md:1: no run of 'tiny' under results/; measure it",
    ),
    (["a.md"], {"a.md": BLOCK.format(" by=speed")}, "a.md:1: no records of a quantity 'speed'; "),
    (["a.md"], {"a.md": BLOCK.format(" kind=card2")}, "a.md:1: unknown kind 'card2'; "),
    (
        ["a.md", "--explain"],
        {"a.md": BLOCK.format(" mode=fas")},
        "a.md:1: no figures in a mode 'fas'; did you mean 'fast'?",
    ),
]


@pytest.mark.parametrize(("arguments", "files", "said"), BAD, ids=[case[2][:32] for case in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(
    made_up: Path, project: Project, bench: Typed, arguments: list[str], files: dict[str, str], said: str
) -> None:
    good = project.write("good.md", BLOCK.format(""))
    for name, text in files.items():
        project.write(name, text)
    for extra in ([], ["--check"]):
        done = bench("leaderboard", *(["good.md"] if files else []), *arguments, *extra)
        assert (done.code, done.out) == (2, "")
        (line,) = done.err.splitlines()
        assert line.startswith(said)
        assert good.read_text() == BLOCK.format("")


def test_a_file_that_is_not_text(made_up: Path, project: Project, bench: Typed) -> None:
    (project.folder / "a.md").write_bytes(b"\xff\xfe")
    done = bench("leaderboard", "a.md")
    assert done.code == 2 and done.err.startswith("a.md:1: not UTF-8 text (")
