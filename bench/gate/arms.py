"""Two checkouts of one project: a revision in a worktree of git, and the tree as it lies there."""

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.engines import local
from bench.errors import NotComparable, UsageError
from bench.plan import plan, static_jobs
from bench.record import Job, Json, digest, fingerprints
from bench.suite import Suite

Cell = tuple[str, str, str]
"""(Variant, mode, phase)."""

GIT_SECONDS = 600
"""A checkout may fetch large files."""

NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")
"""What somebody does after a checkout of their own is not wanted here, and may fail."""

OF_ONE_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
)

WHERE = ("device", "threads")
"""Fields of a fingerprint that say where it is measured."""

NONE = "-"
"""The identity of what is not there."""

PACKAGES = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a gate: the suite of one tree, and what its networks are.

    Attributes:
        name: `base` or `head`; tree: the folder whose code is measured.
        jobs: the job of each cell's first pair.
        networks: variant -> what `bench.worker.graph` says of it.
        broken: variant -> why its network cannot be built.
    """

    name: str
    tree: Path
    suite: Suite
    jobs: Mapping[Cell, Job]
    networks: Mapping[str, Json]
    broken: Mapping[str, str]

    def job(self, cell: Cell, pair: int) -> Job:
        """The job of a pair, by its number from 0; each pair of a training has a seed of its own."""
        first = self.jobs[cell]
        seed = first.seed + pair if first.phase == "accuracy" else first.seed
        return msgspec.structs.replace(first, round=pair, seed=seed)

    def identity(self, cell: Cell, *, weights: bool) -> str:
        """By which an accepted change is known again: what a figure hangs on; NONE where there is no network.

        `weights` where the first ones count too. Where it is measured does not: a change is accepted for all machines.
        """
        network, job = self.networks.get(cell[0]), self.jobs.get(cell)
        if network is None or job is None:
            return NONE
        protocol = {k: v for family in fingerprints(job).values() for k, v in family.items() if k not in WHERE}
        first = [network["built"], job.seed] if weights else []
        return digest([network["graph"], network["code"], first, job.modes, protocol])


def top_of(folder: Path) -> Path:
    """The root of the git checkout that a folder lies in.

    Raises:
        UsageError: it lies in none.
    """
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel").strip())
    except subprocess.SubprocessError as error:
        said = _said(error)
        why = "" if "not a git repository" in said else f" that git would use ({said})"
        message = f"{folder}: not in a git checkout{why}, so that there is no revision to gate against"
        raise UsageError(f"{message}; use --baseline FILE") from None
    except FileNotFoundError:
        raise UsageError("git is not installed; `bench gate RUN --baseline FILE` needs none") from None


def commit_of(top: Path, revision: str) -> str:
    """The full hash of a revision.

    Raises:
        UsageError: there is no such commit.
    """
    try:
        return _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    except subprocess.CalledProcessError:
        shallow = _git(top, "rev-parse", "--is-shallow-repository").strip() == "true"
        hint = "the clone is shallow: git fetch --unshallow" if shallow else "see: git log --oneline"
        raise UsageError(f"--against {revision}: no such revision in {top}; {hint}") from None


@contextmanager
def checked_out(top: Path, commit: str) -> Iterator[Path]:
    """A worktree of a commit in a temporary folder, gone afterwards.

    Raises:
        UsageError: git cannot make it.
    """
    with TemporaryDirectory(prefix="bench-base-") as folder:
        tree = Path(folder).resolve() / "tree"
        try:
            _git(top, *NO_HOOKS, "worktree", "add", "--detach", "--quiet", str(tree), commit)
        except subprocess.SubprocessError as error:
            raise UsageError(f"--against {commit[:10]}: no worktree can be made of it ({_said(error)})") from None
        try:
            yield tree
        finally:
            with suppress(subprocess.SubprocessError):  # the folder goes in any case, and git prunes its own notes
                _git(top, "worktree", "remove", "--force", str(tree))


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    # A hook that calls us names its own repository and index in variables, which would win over the folder.
    outside = {name: value for name, value in os.environ.items() if name not in OF_ONE_REPOSITORY}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, errors="replace", timeout=GIT_SECONDS, env=outside
    )
    return done.stdout


def _said(error: subprocess.SubprocessError) -> str:
    """What git said at last."""
    if isinstance(error, subprocess.CalledProcessError):
        return (str(error.stderr).strip().splitlines() or ["git failed"])[-1]
    return f"git did not end within {GIT_SECONDS} s"


def counterpart(file: Path, top: Path, tree: Path) -> Path:
    """Where a file of a checkout lies in another one.

    Raises:
        NotComparable: it is not there.
    """
    there = tree / (file.parent.resolve() / file.name).relative_to(top.resolve())
    if not there.is_file():
        raise NotComparable(f"{file}: not in the revision that it is gated against; there is nothing to compare with")
    return there


def lent(suite: Suite, top: Path, tree: Path) -> list[str]:
    """Weights that git does not keep are the same for both: linked into the base's tree, and said."""
    notes = []
    for file in dict.fromkeys(Path(variant.weights).resolve() for variant in suite.variants if variant.weights):
        if file.is_relative_to(top.resolve()):
            there = tree / file.relative_to(top.resolve())
            if not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                there.symlink_to(file)
                notes.append(
                    f"{file.relative_to(top.resolve())} is not in the base; the working tree's is used in both"
                )
    return notes


def arm(name: str, suite: Suite, tree: Path, measures: tuple[str, ...], here: Mapping[str, Any]) -> Arm:
    """Plan a suite's cells and look at its networks, also at those that cannot be built.

    `here` is `device` and `threads`.
    """
    narrowed = replace(suite, measures=measures)
    own = [str(folder) for folder in (tree, tree / "src") if folder.is_dir()]

    def at_home(job: Job) -> Job:
        """Its own tree comes before whatever is installed or lies in the current folder."""
        return msgspec.structs.replace(job, paths=[*dict.fromkeys([*job.paths, *own])])

    planned = [at_home(job) for job in plan(narrowed, **here) if job.round == 0]
    jobs = {(job.variant, job.mode, job.phase): job for job in planned}
    builders: dict[str, list[Job]] = {}
    for job in static_jobs(narrowed, **here):
        builders.setdefault(job.arch or job.weights, []).append(at_home(job))
    # A process for each builder: what the file of another variant imports is not this one's.
    records = [record for alike in builders.values() for record in local.validate(alike, phase="graph")]
    broken = {record.job.variant: record.reason for record in records if record.status != "ok"}
    networks = {r.job.variant: r.environment["graph"] for r in records if r.status == "ok"}
    return Arm(name, tree, suite, jobs, networks, broken)


def strayed(arm: Arm, variant: str, other: Path) -> str:
    """Why a variant's code is not that of its own tree; empty where it is.

    A package that is installed, or installed in editable mode, may be found before the tree's own. One that the tree
    does not have is the same for both.
    """
    network, tree = arm.networks[variant], arm.tree.resolve()
    for name in network.get("packages", ()):
        if own := _own(name, (tree, arm.suite.root.parent)):
            return f"{arm.name}: package {name} ran as it is installed, and not {own}; uninstall it"
    module = Path(network["module"])
    if not (module.is_relative_to(tree) or PACKAGES & set(module.parts)):
        return f"{arm.name}: the network was imported from {module}, not from its own tree"
    files = [Path(file) for file in network["files"]]
    wrong = [
        file
        for file in files
        if not file.is_relative_to(tree) and file.is_relative_to(other.resolve()) and not PACKAGES & set(file.parts)
    ]
    return f"{arm.name}: {wrong[0]} ran, which belongs to the other tree" if wrong else ""


def _own(package: str, roots: Iterable[Path]) -> Path | None:
    """Where a tree has a package of this name."""
    places = [root / source / name for root in roots for source in ("", "src") for name in (package, f"{package}.py")]
    return next((place for place in places if (place if place.suffix else place / "__init__.py").is_file()), None)


def unchanged(cell: Cell, base: Arm, head: Arm) -> bool:
    """Whether nothing that a figure hangs on differs: graph, code, shapes, modes, protocol.

    What only the first weights hang on counts where these are answered with or trained. What an operator that is not
    torch's own does is not seen, so that its networks always count as changed.
    """
    arms = (base, head)
    if any(cell not in arm.jobs or cell[0] not in arm.networks for arm in arms):
        return False
    jobs, networks = [arm.jobs[cell] for arm in arms], [arm.networks[cell[0]] for arm in arms]
    if any(network.get("opaque") for network in networks):
        return False
    if cell[2] in ("train", "accuracy") and any(network.get("untrained") for network in networks):
        return False
    weights = any({"outputs", "accuracy"} & {*job.measures} for job in jobs)
    one, other = (arm.identity(cell, weights=weights) for arm in arms)
    return one == other and fingerprints(jobs[0]) == fingerprints(jobs[1])


def unseen_trainings(head: Arm) -> list[str]:
    """Networks whose training is measured whatever changed, and why."""
    trained = {variant for variant, _, phase in head.jobs if phase in ("train", "accuracy")}
    why = {variant: head.networks.get(variant, {}).get("untrained", "") for variant in sorted(trained)}
    said = "does not run in train mode on the meta device, so that its training is always measured"
    return [f"{variant} {said} ({reason})" for variant, reason in why.items() if reason]
