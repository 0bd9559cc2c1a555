"""For pytest: a fixture that measures a cell of a suite, and pytest-benchmark kept from comparing two machines.

It is loaded in every pytest of an environment that has bench, so that it imports nothing heavy before it is used, and
changes nothing for tests that do not use it.
"""

import os
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from bench.record import Record, Value
    from bench.table.cells import Cell

SETTINGS = {
    "profile": "Profile of the suites that bench_case measures [default: gpu on a CUDA device, else quick].",
    "device": "Device on which bench_case measures: cpu, cuda or cuda:N.",
    "results": "Folder in which the runs of bench_case are kept [default: they are not kept].",
}
"""Keys of the ini file, with `bench_` before them."""

MARKER = "bench(profile, device, rounds, results): how bench_case measures in this test"

LOG_LINES = 15
"""Of a failed worker's log, shown with the failure."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini keys, all of which begin with bench."""
    group = parser.getgroup("bench", "measuring networks with bench")
    group.addoption(
        "--bench-allow-other-machine",
        action="store_true",
        help="Compare with pytest-benchmark's figures of another machine, with a warning instead of an error.",
    )
    for name, text in SETTINGS.items():
        parser.addini(f"bench_{name}", text, default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@dataclass(frozen=True, slots=True)
class Case:
    """What was measured of a cell: a record per round, all of them ok."""

    records: tuple["Record", ...]

    @property
    def record(self) -> "Record":
        """The record of the last round."""
        return self.records[-1]

    @property
    def latency(self) -> float:
        """Seconds: the median of a round's calls, their geometric mean over the rounds."""
        return self.value("latency")

    @property
    def flags(self) -> tuple[str, ...]:
        """Every flag of any value, such as `noisy`; see bench.record.FLAGS."""
        return tuple(dict.fromkeys(f for record in self.records for value in record.values for f in value.flags))

    def value(self, quantity: str) -> float:
        """A quantity by its name, in base units, over the rounds as a table has it; without one the test fails."""
        cell = self.cell(quantity)
        if cell.value is None:
            pytest.fail(f"{self.record.job.cell}: no {quantity}: {cell.reason}", pytrace=False)
        return float(cell.value)

    def cell(self, quantity: str) -> "Cell":
        """A quantity with its interval over the rounds and its flags."""
        from bench.errors import nearest
        from bench.table.merge import merge

        values = [_named(record, quantity) for record in self.records]
        found = [value for value in values if value is not None]
        if not found:
            known = {value.quantity.name for record in self.records for value in record.values}
            pytest.fail(f"{self.record.job.cell}: unknown quantity '{quantity}'; {nearest(quantity, known)}", False)
        numbers = {n: float(v.value) for n, v in enumerate(values) if v is not None and v.value is not None}
        return merge(found[0].quantity, numbers, dict(enumerate(self.records)), len(self.records))


BenchCase = Callable[..., Case]


@pytest.fixture
def bench_case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BenchCase:
    """Measure a cell: `bench_case("stacked_speed", "original", "fast").latency`.

    The suite is a name or a file (a relative one is looked up from the root of the tests); the mode's default is the
    suite's first. The keywords profile, device, rounds and results go before those of the marker `bench`, and these
    before the ini file. Every round is a fresh worker process; there is one unless more are asked for.

    The test fails where the cell could not be measured or its mode changes the answer, with the record's reason, and
    is skipped where the mode is not available here. It fails under several workers of pytest-xdist, which would
    disturb one another.
    """
    marker = request.node.get_closest_marker("bench")
    written = {name: request.config.getini(f"bench_{name}") for name in SETTINGS}
    written |= marker.kwargs if marker else {}

    def measure(suite: str | Path, variant: str, mode: str = "", **settings: Any) -> Case:
        if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
            # Not a skip, which a CI would show as green although nothing was measured.
            pytest.fail("bench_case needs the machine to itself: run this test without -n", pytrace=False)
        with _told():
            chosen = _known({**written, **settings})
            root, results = request.config.rootpath, chosen.get("results")
            folder = root / results if results else tmp_path_factory.mktemp("bench")
            file = root / suite
            return _measured(_Asked(file if file.is_file() else suite, variant, mode, folder, chosen))

    return measure


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that are given; UsageError where one is none."""
    from bench.errors import UsageError, nearest

    for name in settings:
        if name not in (*SETTINGS, "rounds"):
            raise UsageError(f"bench_case: unknown setting '{name}'; {nearest(name, (*SETTINGS, 'rounds'))}")
    return {name: value for name, value in settings.items() if value}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A cell and how to measure it; the suite's first mode where none is named."""

    suite: str | Path
    variant: str
    mode: str
    results: Path
    settings: dict[str, Any]


@contextmanager
def _told() -> Iterator[None]:
    """A wrong name or file fails the test with its one line, not with a traceback through bench."""
    from bench.errors import BenchError

    try:
        yield
    except BenchError as error:
        pytest.fail(str(error), pytrace=False)


def _measured(asked: _Asked) -> Case:
    """The cell, measured by bench's own engine in its own run."""
    from bench import api, store
    from bench.errors import UsageError
    from bench.plan import measures_by_phase
    from bench.suite import load_suite
    from bench.table.merge import latest

    choice = api.choose(asked.suite, asked.settings.get("profile"), asked.settings.get("device"))
    loaded = load_suite(asked.suite, choice.profile or None, rounds=asked.settings.get("rounds", 1))
    measures = measures_by_phase(loaded.measures).get("infer")
    if not measures:
        raise UsageError(f"{loaded.name}: it measures nothing of inference; add infer to its measures")
    mode = asked.mode or next(iter(loaded.modes))
    prepared = api.prepare(loaded.select(variants=[asked.variant], modes=[mode], measures=measures), choice.device)
    folder = asked.results / loaded.name
    store.check_writable(folder)
    header = api.header_of(prepared.suite, store.new_name(prepared.machine["id"], folder), prepared.machine, ["pytest"])
    with store.new_run(folder, header) as run:
        api.execute(prepared, [job for job in prepared.jobs if job.phase == "infer"], run)
        records = latest(store.read(run.path).records)["infer"][asked.variant, mode]
        return _checked(tuple(records[n] for n in sorted(records)), run.path.parent)


def _checked(records: tuple["Record", ...], folder: Path) -> Case:
    """The case, unless a round of it went wrong."""
    bad = [record for record in records if record.status != "ok"]
    for record in sorted(bad, key=lambda one: one.status == "skipped"):
        if record.status == "skipped":
            pytest.skip(f"{record.job.cell}: {record.reason}")
        _fail(record, folder)
    for record in records:
        for value in record.values:
            if "mismatch" in value.flags:
                how = value.how or f"{value.quantity.name} {value.value}"
                pytest.fail(f"{record.job.cell}: mismatch: the mode changes the answer ({how})", pytrace=False)
    return Case(records)


def _fail(record: "Record", folder: Path) -> NoReturn:
    """With the last lines of the worker's log, where it wrote any."""
    log = folder / record.log
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:] if record.log and log.is_file() else []
    pytest.fail("\n".join([f"{record.job.cell}: {record.status}: {record.reason}", *lines]), pytrace=False)


def _named(record: "Record", quantity: str) -> "Value | None":
    return next((value for value in record.values if value.quantity.name == quantity), None)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Saved figures say which machine they are of: GPU, power limit, driver, CPU, torch; never a host's name."""
    from bench import host
    from bench.pytest_benchmark_json import IDENTITY

    machine_info[IDENTITY] = host.machine()


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
) -> Generator[None, object, object]:
    """Refuse the figures of another machine, where both files say which one they are of.

    The identity is put aside for pytest-benchmark's own comparison, so that files from before bench was installed
    differ by no more than they did.
    """
    from bench.pytest_benchmark_json import IDENTITY

    saved = compared_benchmark.get("machine_info") or {}
    ours, theirs = machine_info.pop(IDENTITY, None), saved.pop(IDENTITY, None)
    try:
        if isinstance(ours, dict) and isinstance(theirs, dict) and ours.get("id") != theirs.get("id"):
            _refuse(config, ours, theirs, str(compared_benchmark.get("datetime") or "unknown"))
        return (yield)
    finally:
        for info, identity in ((machine_info, ours), (saved, theirs)):
            if identity is not None:
                info[IDENTITY] = identity


def _refuse(config: pytest.Config, ours: dict[str, Any], theirs: dict[str, Any], when: str) -> None:
    """An error, or a warning where that was asked for."""
    names = [name for name in {**theirs, **ours} if name != "id" and ours.get(name) != theirs.get(name)]
    facts = ", ".join(f"{name} {ours.get(name)} instead of {theirs.get(name)}" for name in names)
    said = f"the saved benchmarks ({when}) are of another machine: {theirs.get('id')}, this one is {ours.get('id')}" + (
        f" ({facts})" if facts else ""
    )
    if not config.getoption("--bench-allow-other-machine"):
        raise pytest.UsageError(f"{said}; --bench-allow-other-machine compares them all the same")
    warnings.warn(pytest.PytestWarning(said), stacklevel=2)
