"""A project whose suite has an accuracy profile, and what its runs say of accuracy."""

import json
import sys
from pathlib import Path

from command_line import HEAD, PROTOCOL, SCRIPTED, Done, Project, Typed, acts

from bench import store
from bench.engines import local
from bench.record import Record

TRAIN = """
[train]
recipe  = "adam_hourglass"
batch   = 2
samples = 100
"""

PROFILES = """
[profiles.accuracy]
measures = ["accuracy"]
data     = { size = 32 }
budget   = { accuracy = 12 }
"""

OTHER = acts(b="").replace('do = ""', 'do = "", joints = 15')
"""Another network, since the same one is trained once, whatever its name."""

STUDY = HEAD.replace('"params", "infer"', '"params"') + TRAIN + acts(a="") + OTHER + PROTOCOL


def scripted(bench: Typed, project: Project) -> Typed:
    """The command line in this process, in a project whose suite has an accuracy profile; workers are scripted."""
    bench.monkeypatch.setattr(local, "COMMAND", (sys.executable, str(SCRIPTED)))
    project.suite(STUDY + PROFILES)
    return bench


def runs(project: Project) -> list[Path]:
    """Oldest first, even those of the same second."""
    return [path.absolute() for path in store.runs(project.results)]


def accuracy(path: Path) -> list[Record]:
    return [record for record in store.read(path).records if record.job.phase == "accuracy"]


def cells(done: Done) -> dict[str, dict[str, object]]:
    """Variant -> its cell of accuracy, of a page in JSON."""
    return {cell["variant"]: cell for cell in json.loads(done.out)["cells"] if cell["phase"] == "accuracy"}


def said(done: Done) -> list[str]:
    return [line for line in done.err.splitlines() if line.startswith("accuracy: ")]
