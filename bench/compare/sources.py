"""What a comparison is typed as: a run, a file of pytest-benchmark, or either of them in a revision of git."""

import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bench import pytest_benchmark_json, scores, store
from bench.compare import side
from bench.compare.side import Side
from bench.errors import StoreError, UsageError, nearest

JSON = ".json"


def load(text: str, results: Path) -> tuple[Side, list[str]]:
    """The side that somebody typed, and lines of its file that could not be read.

    Args:
        text: a file, a run's name, a suite (its latest run), or `REV:` and one of these as git had it then.
        results: the folder of runs.

    Raises:
        UsageError: there is no such file, run or revision, or it cannot be read.
    """
    revision, colon, wanted = text.partition(":")
    if colon and revision and wanted and not Path(text).exists():
        return _parsed(text, *_of_revision(revision, wanted, results), results)
    if Path(text).suffix == JSON:
        return _parsed(text, text, _read(Path(text)), results)
    return _run(store.read(_found(text, results)), results)


def _found(text: str, results: Path) -> Path:
    """The file of a run; who types a revision alone is told how to name a run in it."""
    try:
        return store.find(results, text)
    except StoreError:
        runs: list[Path] = []
        with suppress(UsageError):
            runs = _runs_in(text, results)
        if not runs:
            raise
        wanted = f"{text}:{runs[-1].parent.name}"
        raise StoreError(f"'{text}' is a revision of git; name a run or a suite in it: {wanted}") from None


def _run(run: store.Loaded, results: Path) -> tuple[Side, list[str]]:
    """With the scores by image of trainings that it took over, as far as their runs are here."""
    return side.of_run(replace(run, records=scores.restored(run.records, results))), run.problems


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot read ({error.strerror}); name a run, or a file of pytest-benchmark") from None


def _parsed(shown: str, name: str, data: bytes, results: Path) -> tuple[Side, list[str]]:
    if name.endswith(JSON):
        return pytest_benchmark_json.read(shown, data), []
    return _run(store.parse(Path(shown), data), results)


def _of_revision(revision: str, wanted: str, results: Path) -> tuple[str, bytes]:
    """(Path, content) of a file, a run's name or a suite's latest run as a revision has it.

    Raises:
        UsageError: no repository, no such revision.
        StoreError: nothing of that name in it.
    """
    runs = _runs_in(revision, results)
    if Path(wanted).suffix in (store.SUFFIX, JSON):
        said = f"{revision}:{wanted}: no such file in that revision"
        return wanted, _git(Path(), "show", f"{revision}:./{wanted}", said=said)
    named = [path for path in runs if path.stem == wanted]
    of_suite = [path for path in runs if path.parent.name == Path(wanted).stem]
    if not named and not of_suite:
        known = {path.parent.name for path in runs} | {path.stem for path in runs}
        raise StoreError(f"no run '{wanted}' under {results}/ in {revision}; {nearest(wanted, known)}")
    found = (named or of_suite)[-1]
    return str(found), _git(_home(results), "show", f"{revision}:./{found}", said="cannot show")


def _runs_in(revision: str, results: Path) -> list[Path]:
    """The files of all runs that a revision has, relative to the folder of the results, oldest first.

    Raises:
        UsageError: no repository, no such revision.
    """
    home = _home(results)
    _git(home, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", said=f"unknown revision '{revision}'")
    listed = _git(home, "ls-tree", "-r", "--name-only", "-z", revision, "--", f"{results.name}/", said="cannot list")
    files = [Path(name) for name in listed.decode().split("\0") if name.endswith(store.SUFFIX)]
    return sorted(files, key=lambda path: path.stem)


def _home(results: Path) -> Path:
    return results.parent if results.parent.is_dir() else Path()


def _git(home: Path, *arguments: str, said: str) -> bytes:
    """What git answers; a revision that starts with a dash is none of its options.

    Raises:
        UsageError: git is not there, or refuses; `said` is what that means.
    """
    command = ["git", "-C", str(home), *arguments]
    try:
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    except OSError:
        raise UsageError(f"{said}: git is not installed; name files instead") from None
    except subprocess.CalledProcessError as error:
        why = (error.stderr.decode(errors="replace").splitlines() or [""])[0].removeprefix("fatal: ")
        raise UsageError(f"{said}" + (f" ({why})" if why else "; see: git log --oneline")) from None
