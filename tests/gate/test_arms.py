"""Two checkouts of one project: real repositories of git, real networks on the meta device."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command_line import HEAD, PROTOCOL
from jobs import job

from bench.engines import local
from bench.errors import NotComparable, UsageError
from bench.gate import arms
from bench.gate.arms import NONE, Arm, checked_out, commit_of, counterpart, strayed, top_of, unchanged
from bench.record import Job, Json, Record
from bench.suite import load_suite
from bench.worker.work import work

CELL = ("a", "fp32", "infer")

SUITE = HEAD + '\n[[variants]]\nname = "a"\narch = "net"\n' + PROTOCOL

NETWORK = """\
from torch import nn


def build(joints: int = 16) -> nn.Module:
    return nn.Conv2d(3, joints, 1)
"""


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Files by their path in the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits; `suites/x.toml` says which one."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "project"
    (folder / "suites").mkdir(parents=True)
    (folder / "archs").mkdir()
    git(folder, "init", "-q", "-b", "main")
    for text in ("one", "two"):
        (folder / "suites" / "x.toml").write_text(text)
        git(folder, "add", ".")
        git(folder, "commit", "-qm", text)
    return folder


def trees(top: Path) -> list[str]:
    return git(top, "worktree", "list").splitlines()


def test_the_root_of_a_checkout(top: Path) -> None:
    assert top_of(top / "suites") == top


def test_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError) as raised:
        top_of(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: not in a git checkout, so that there is no revision to gate against; use --baseline FILE"
    )


def test_without_git(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(top))
    with pytest.raises(UsageError, match="git is not installed; `bench gate RUN --baseline FILE` needs none"):
        top_of(top)


def stub(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A git that fails where it is asked for something, and is the real one else."""
    real = next(Path(one) / "git" for one in os.environ["PATH"].split(os.pathsep) if (Path(one) / "git").exists())
    path = folder / "bin" / "git"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\n{script}\nexec {real} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)


def failing(what: str, said: str) -> str:
    return f'case "$*" in *"{what}"*) echo "{said}" >&2; exit 128;; esac'


def test_what_git_has_against_a_checkout_is_said(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tmp_path, monkeypatch, failing("show-toplevel", "fatal: detected dubious ownership"))
    with pytest.raises(UsageError, match=r"not in a git checkout that git would use \(fatal: detected dubious owner"):
        top_of(top)


@pytest.mark.parametrize("revision", ["HEAD", "HEAD~1", "main", "a-tag", "main^{commit}"])
def test_a_revision_is_a_commit(top: Path, revision: str) -> None:
    git(top, "tag", "-a", "a-tag", "-m", "tagged")
    assert commit_of(top, revision) == git(top, "rev-parse", f"{revision}^{{commit}}")


@pytest.mark.parametrize(
    "revision", ["nowhere", "HEAD~9", "", "--all", "-x", "HEAD:suites/x.toml", "main..HEAD", "a b"]
)
def test_an_unknown_revision(top: Path, revision: str) -> None:
    with pytest.raises(UsageError) as raised:
        commit_of(top, revision)
    (line,) = str(raised.value).splitlines()
    assert line == f"--against {revision}: no such revision in {top}; see: git log --oneline"


def test_a_shallow_clone_says_how_to_deepen_it(top: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{top}", str(shallow))
    assert commit_of(shallow, "HEAD") == commit_of(top, "HEAD")
    with pytest.raises(UsageError, match="the clone is shallow: git fetch --unshallow"):
        commit_of(shallow, "HEAD~1")


def test_a_revision_in_a_worktree_of_its_own(top: Path) -> None:
    (top / "suites" / "x.toml").write_text("dirty")
    with checked_out(top, commit_of(top, "HEAD~1")) as tree:
        assert (tree / "suites" / "x.toml").read_text() == "one"
        assert len(trees(top)) == 2
    assert not tree.exists() and not tree.parent.exists()
    assert len(trees(top)) == 1
    assert (top / "suites" / "x.toml").read_text() == "dirty"
    assert git(top, "status", "--porcelain") == "M suites/x.toml"


def test_two_at_once(top: Path) -> None:
    with checked_out(top, commit_of(top, "HEAD")) as one, checked_out(top, commit_of(top, "HEAD~1")) as other:
        assert [(tree / "suites" / "x.toml").read_text() for tree in (one, other)] == ["two", "one"]
    assert len(trees(top)) == 1


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop])
def test_the_worktree_goes_whatever_happens(top: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), checked_out(top, commit_of(top, "HEAD")) as tree:
        (tree / "left.txt").write_text("by whatever ran")
        raise error
    assert not tree.exists()
    assert len(trees(top)) == 1


def test_a_worktree_that_cannot_be_made(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tmp_path, monkeypatch, failing("worktree add", "Preparing\nfatal: could not create directory: Read-only"))
    commit = commit_of(top, "HEAD")
    with pytest.raises(UsageError) as raised, checked_out(top, commit):
        pass
    said = "fatal: could not create directory: Read-only"
    assert str(raised.value) == f"--against {commit[:10]}: no worktree can be made of it ({said})"


def test_a_file_in_the_place_of_the_worktrees(top: Path) -> None:
    (top / ".git" / "worktrees").write_text("")
    with pytest.raises(UsageError, match="no worktree can be made of it"), checked_out(top, commit_of(top, "HEAD")):
        pass


def test_git_that_does_not_end(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = commit_of(top, "HEAD")
    stub(tmp_path, monkeypatch, 'case "$*" in *"worktree add"*) exec sleep 60;; esac')
    monkeypatch.setattr(arms, "GIT_SECONDS", 0.2)
    with pytest.raises(UsageError, match=r"\(git did not end within 0.2 s\)"), checked_out(top, commit):
        pass


def test_a_worktree_that_git_does_not_take_away_goes_too(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path, monkeypatch, failing("worktree remove", "fatal: locked"))
    with checked_out(top, commit_of(top, "HEAD")) as tree:
        pass
    assert not tree.parent.exists()


def test_hooks_of_the_project_do_not_run(top: Path) -> None:
    hook = top / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with checked_out(top, commit_of(top, "HEAD")) as tree:
        assert (tree / "suites" / "x.toml").is_file()


def test_within_a_hook_of_another_repository(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert top_of(top / "suites") == top
    with checked_out(top, commit_of(top, "HEAD~1")) as tree:
        assert (tree / "suites" / "x.toml").read_text() == "one"
    assert not (other / ".git" / "index").exists()


def test_where_a_file_lies_in_another_checkout(top: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "suites").mkdir(parents=True)
    with pytest.raises(NotComparable, match="not in the revision that it is gated against"):
        counterpart(top / "suites" / "x.toml", top, other)
    (other / "suites" / "x.toml").write_text("")
    assert counterpart(top / "suites" / "x.toml", top, other) == other / "suites" / "x.toml"
    (tmp_path / "link").symlink_to(top)
    assert counterpart(tmp_path / "link" / "suites" / "x.toml", top, other) == other / "suites" / "x.toml"


def test_a_suite_that_is_a_link_to_elsewhere(top: Path, tmp_path: Path) -> None:
    shared, other = tmp_path / "shared.toml", tmp_path / "other"
    shared.write_text("")
    (top / "suites" / "y.toml").symlink_to(shared)
    (other / "suites").mkdir(parents=True)
    with pytest.raises(NotComparable):
        counterpart(top / "suites" / "y.toml", top, other)


PROJECT = {"suites/tiny.toml": SUITE, "archs/net.py": NETWORK}

# What a tree's network is, and whether it is the tree's own.


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The networks are looked at here, where torch is imported already; the next ones as in another process."""

    def validate(jobs: list[Job], timeout: float = 300.0, phase: str = "check") -> list[Record]:
        paths, modules = list(sys.path), set(sys.modules)
        records = [work(msgspec.structs.replace(one, phase=phase, measures=[], modes={})) for one in jobs]
        forget(paths, modules)
        return records

    monkeypatch.setattr(local, "validate", validate)
    yield


def forget(paths: list[str], modules: set[str]) -> None:
    """What another worker would not know of."""
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] == "own_library" or name.startswith("archs.net"):
            del sys.modules[name]


def made(name: str, tree: Path, files: Mapping[str, str] = {}, installed: Path | None = None) -> Arm:
    """An arm of a tree that is written now; `installed` is a folder that Python searches too."""
    write(tree, PROJECT | files)
    if installed:
        sys.path.insert(0, str(installed))
    suite = load_suite(tree / "suites" / "tiny.toml")
    try:
        return arms.arm(name, suite, tree, ("params", "infer"), {"device": "cpu", "threads": 1})
    finally:
        if installed:
            sys.path.remove(str(installed))


USES = NETWORK.replace("from torch import nn\n", "from torch import nn\n\nfrom own_library import size\n").replace(
    "nn.Conv2d(3, joints, 1)", "nn.Conv2d(3, joints, size())"
)
LIBRARY = "def size():\n    return 1\n"


def test_an_arm_is_its_jobs_and_its_networks(tmp_path: Path, in_process: None) -> None:
    base, head = made("base", tmp_path / "one"), made("head", tmp_path / "two")
    assert list(head.jobs) == [("a", "", "static"), CELL]
    assert head.jobs[CELL].round == 0 and head.jobs[CELL].measures == ["infer"]
    assert Path(head.networks["a"]["module"]) == tmp_path / "two" / "archs" / "net.py"
    assert strayed(base, "a", head.tree) == strayed(head, "a", base.tree) == ""
    assert unchanged(CELL, base, head)
    assert base.identity(CELL, weights=True) == head.identity(CELL, weights=True) != NONE


def test_a_network_that_cannot_be_built_is_said(tmp_path: Path, in_process: None) -> None:
    broken = {"archs/net.py": NETWORK.replace("joints, 1)", "joints, 1) + 1")}
    base, head = made("base", tmp_path / "one"), made("head", tmp_path / "two", broken)
    assert head.broken["a"].startswith("TypeError: ") and not head.networks
    assert not unchanged(CELL, base, head)
    assert head.identity(CELL, weights=False) == NONE != base.identity(CELL, weights=False)


TWO = SUITE + '\n[[variants]]\nname = "b"\narch = "net_of_b"\n'
B = ("b", "fp32", "infer")


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        ("archs/net_of_b.py", NETWORK + "\nUNUSED = 1\n", [True, False]),
        ("archs/net.py", NETWORK + "\nUNUSED = 1\n", [False, True]),
        ("own_library/b.py", "WAIT = 1\n", [True, False]),
        ("own_library/__init__.py", "WAIT = 1\n", [True, False]),
    ],
)
def test_a_file_counts_for_the_variants_that_import_it(
    tmp_path: Path, in_process: None, file: str, text: str, same: list[bool]
) -> None:
    files = {"suites/tiny.toml": TWO, "own_library/__init__.py": "", "own_library/b.py": "WAIT = 0\n"}
    files["archs/net_of_b.py"] = NETWORK.replace(
        "from torch import nn\n", "import own_library.b\nfrom torch import nn\n"
    )
    base = made("base", tmp_path / "one", files)
    head = made("head", tmp_path / "two", files | {file: files.get(file, "").replace("WAIT = 0", "") + text})
    assert [unchanged(cell, base, head) for cell in (CELL, B)] == same


def test_a_library_of_the_tree_is_the_trees_own(tmp_path: Path, in_process: None) -> None:
    files = {"archs/net.py": USES, "own_library/__init__.py": LIBRARY}
    base, head = made("base", tmp_path / "one", files), made("head", tmp_path / "two", files)
    assert strayed(base, "a", head.tree) == strayed(head, "a", base.tree) == ""


def test_a_library_that_is_installed_in_editable_mode(tmp_path: Path, in_process: None) -> None:
    files = {"archs/net.py": USES, "src/own_library/__init__.py": LIBRARY}
    source = tmp_path / "two" / "src"
    head, base = (made(name, tmp_path / at, files, source) for name, at in (("head", "two"), ("base", "one")))
    for one, other in ((base, head), (head, base)):
        assert strayed(one, "a", other.tree) == ""
        assert str(one.tree / "src" / "own_library" / "__init__.py") in one.networks["a"]["files"]


@pytest.mark.parametrize("source", ["", "src/"])
def test_a_tree_s_own_library_comes_before_an_installed_copy(tmp_path: Path, in_process: None, source: str) -> None:
    place = tmp_path / "venv" / "site-packages"
    write(place, {"own_library/__init__.py": LIBRARY})
    files = {"archs/net.py": USES, f"{source}own_library/__init__.py": LIBRARY}
    found = [made(name, tmp_path / at, files, place) for name, at in (("base", "one"), ("head", "two"))]
    for one, other in (found, reversed(found)):
        assert strayed(one, "a", other.tree) == ""
        assert str(one.tree / source / "own_library" / "__init__.py") in one.networks["a"]["files"]


def test_an_installed_copy_of_a_tree_s_own_library_is_told(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write(tree, {"src/own_library/__init__.py": LIBRARY})
    known = network(str(tree / "archs" / "net.py")) | {"packages": ["own_library"]}
    said = strayed(side("head", tree, known), "a", tmp_path / "other")
    own = tree / "src" / "own_library"
    assert said == f"head: package own_library ran as it is installed, and not {own}; uninstall it"


def test_a_library_of_others_is_the_same_for_both(tmp_path: Path, in_process: None) -> None:
    place = tmp_path / "two" / ".venv" / "lib" / "site-packages"
    write(place, {"own_library/__init__.py": LIBRARY})
    found = [made(n, tmp_path / at, {"archs/net.py": USES}, place) for n, at in (("base", "one"), ("head", "two"))]
    assert [strayed(one, "a", other.tree) for one, other in (found, reversed(found))] == ["", ""]
    assert unchanged(CELL, *found)


def network(module: str, *files: str, **other: Any) -> Json:
    return {"graph": "g", "code": "c", "built": "b", "module": module, "files": [module, *files]} | other


def side(name: str, tree: Path, known: Json, of: Job | None = None) -> Arm:
    """An arm whose network is made up."""
    write(tree, PROJECT)
    suite = load_suite(tree / "suites" / "tiny.toml")
    return Arm(name, tree, suite, {CELL: of or job(measures=["infer"])}, {"a": known} if known else {}, {})


def test_a_module_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "archs").mkdir()
    elsewhere, other = str(tmp_path / "elsewhere" / "net.py"), tmp_path / "other"
    for module in (elsewhere, str(other / "archs" / "net.py"), str(tmp_path / "tree2" / "net.py")):
        said = strayed(side("head", tmp_path / "tree", network(module)), "a", other)
        assert said == f"head: the network was imported from {module}, not from its own tree"


def test_a_network_of_another_package_is_nobodys_stray(tmp_path: Path) -> None:
    module = str(tmp_path / "tree" / ".venv" / "site-packages" / "others" / "nets.py")
    for tree, other in (("tree", "base"), ("base", "tree")):
        arm = side("an arm", tmp_path / tree, network(module, packages=["others"]))
        assert strayed(arm, "a", tmp_path / other) == ""
