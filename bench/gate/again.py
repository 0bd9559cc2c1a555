"""A stored run's cells measured once more, to confirm what an earlier run says they got worse by."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from bench import api, host, store, trainings
from bench.engines import local
from bench.errors import UsageError
from bench.gate.arms import Cell
from bench.gate.sitting import shuffled
from bench.plan import plan
from bench.record import Record
from bench.suite import Suite, find, load_suite
from bench.validate import validate


def facts_of(record: Record) -> tuple[str, str]:
    """The network and the code that a record was measured with; what it does not say is nobody's."""
    return str(record.environment.get("network", "")), str(record.environment.get("code", ""))


class Again:
    """Measures cells of a run anew, where the machine, the protocol and the network are those of the run.

    Attributes:
        file: of the suite; folder: where the new records lie, None before there are any.
    """

    def __init__(
        self, run: store.Loaded, asked: Mapping[str, Any], stack: ExitStack, say: Callable[[str], None]
    ) -> None:
        self.run, self.asked, self.stack, self.say = run, asked, stack, say
        self.folder: Path | None = None
        try:
            self.file = find(run.header.suite["name"])
        except UsageError:
            self.file = Path("suites") / f"{run.header.suite['name']}.toml"

    def measure(self, cells: Sequence[Cell], processes: int) -> dict[Cell, list[Record]]:
        """`processes` records of each cell, failed ones too; none, and a word about why, where none would compare."""
        machine = host.machine()
        if machine["id"] != self.run.header.machine.get("id"):
            self.say(f"{len(cells)} suspected cells are not measured again: the run is of another machine")
            return {}
        try:
            suite = load_suite(self.file, self.run.header.profile or None, seed=self.run.header.seed)
        except UsageError as error:
            self.say(f"{len(cells)} suspected cells are not measured again: {str(error).splitlines()[0]}")
            return {}
        device = next(record.job.device for record in self.run.records)
        jobs = {
            (job.variant, job.mode, job.phase): job
            for job in plan(suite, device=device, threads=machine["threads"])
            if job.round == 0
        }
        try:
            networks = validate(suite, device=device, threads=machine["threads"])
        except UsageError as error:
            self.say(f"{len(cells)} suspected cells are not measured again: {str(error).splitlines()[0]}")
            return {}
        known = {record.id: facts_of(record) for record in self.run.records}
        same = [
            cell
            for cell in cells
            if cell in jobs and known.get(jobs[cell].id) == (networks.get(cell[0]), trainings.code(jobs[cell]))
        ]
        for cell in sorted(set(cells) - set(same)):
            self.say(f"{'/'.join(filter(None, cell))} is not measured again: its job or its network is another by now")
        return self._measured({cell: jobs[cell] for cell in same}, processes, suite, machine) if same else {}

    def _measured(
        self, jobs: Mapping[Cell, Any], processes: int, suite: Suite, machine: dict[str, Any]
    ) -> dict[Cell, list[Record]]:
        parent = Path(self.asked["results"]) / suite.name
        self.folder = parent / f"{store.new_name(machine['id'], parent)}-gate"
        run = self.stack.enter_context(store.new_run(self.folder, api.header_of(suite, "again", machine)))
        found: dict[Cell, list[Record]] = {}
        for number in range(processes):
            for cell in shuffled(jobs, f"{suite.seed}/{number}"):
                # Rounds go on behind the run's own, so that a record of now is never taken for one of then.
                *_, record = local.execute([msgspec.structs.replace(jobs[cell], round=1000 + number)])
                record = msgspec.structs.replace(record, machine=machine)
                store.append(run, record)
                self.say(f"[again {number + 1}/{processes}] {record.job.cell} {record.status} {record.seconds:.1f} s")
                found.setdefault(cell, []).append(record)
        return found
