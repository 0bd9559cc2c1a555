"""`bench run` with trainings, in real workers: what is refused before anything is trained, and what survives a kill."""

import json
import signal
from pathlib import Path

import pytest
import torch
from command_line import HEAD, PROTOCOL, ROOT, Done, Project, Running, copy_of_program, hourglass, is_running, until

from archs.stacked_hourglass import build

TRAIN = """
[train]
recipe  = "adam_short"
batch   = 2
samples = {samples}
validations = {validations}
mode    = "fast"

[modes.fast]
channels_last = true
"""

IMAGES_ALONE = '''"""Images without people in them."""

import torch


class Images:
    """Black ones."""

    def __len__(self):
        return 4

    def batch(self, indices, device):
        """Images N 3 16 16."""
        return {"image": torch.zeros(len(indices), 3, 16, 16, dtype=torch.uint8, device=device)}


def load(split: str, *, size: tuple[int, int], count: int) -> Images:
    """Four of them."""
    return Images()
'''


def text(variants: str, *, samples: int = 8, validations: int = 2, use: str = "synthetic") -> str:
    head = HEAD.replace('measures = ["params", "infer"]', 'measures = ["accuracy"]').replace("random", use)
    head = head.replace('baseline = "a"\n', "")
    return head + TRAIN.format(samples=samples, validations=validations) + variants + PROTOCOL


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def run(project: Project, *arguments: str, program: Path = ROOT) -> Done:
    return project.bench("run", "suites/tiny.toml", *arguments, program=program)


def refused(project: Project) -> str:
    """The one line with which a run is refused before it writes anything."""
    done = run(project)
    (line,) = done.said
    assert done.code == 2
    assert project.runs == []
    return line


def test_a_training_is_one_record_with_its_curves_and_checkpoints(project: Project) -> None:
    project.suite(text(hourglass("a", 8)))
    done = run(project, "--format", "json")
    assert done.code == 0, done.err
    (file,) = project.runs
    record = json.loads(file.read_text().splitlines()[1])
    names = {value["quantity"]["name"] for value in record["values"]}
    assert {"pckh.total", "pckh.mean_pose", "loss.train", "loss.test", "pckh_change.fast"} <= names
    kept = {path.name for path in file.with_suffix("").iterdir() if path.suffix != ".log"}
    assert kept == record["artefacts"].keys()
    assert {name.partition("-")[2] for name in kept} == {"best.pt", "last.pt", "examples.npz"}


def test_data_without_joints_are_refused_for_a_pose_task(project: Project, tmp_path: Path) -> None:
    program = copy_of_program(tmp_path)
    (program / "bench" / "worker" / "datasets" / "images_alone.py").write_text(IMAGES_ALONE)
    project.suite(text(hourglass("a", 8), use="images_alone"))
    done = run(project, program=program)
    assert done.code == 2
    assert "data set 'images_alone' has no joints, labelled, head_size: metric 'pckh' needs them" in done.said[0]
    assert project.runs == []


def test_heads_that_do_not_fit_the_joints_are_refused(project: Project) -> None:
    project.suite(text(hourglass("a", 8).replace("depth = 1", "depth = 1, joints = 14")))
    assert "suites/tiny.toml:" in refused(project)
    assert "joints = 14: data set 'synthetic' has 16" in refused(project)


OWN = '''"""A convolution with heads of its own, or their sums."""

from torch import nn


class Net(nn.Module):
    """As many channels as it is told."""

    def __init__(self, heads, sums):
        super().__init__()
        self.conv, self.sums = nn.Conv2d(3, heads, 3, 4, 1), sums

    def forward(self, image):
        maps = self.conv(image)
        return [maps.mean((2, 3)) if self.sums else maps]


def build(heads: int = 16, sums: bool = False) -> nn.Module:
    """A network."""
    return Net(heads, sums)
'''


def test_heads_that_do_not_fit_are_refused_whatever_their_option_is_called(project: Project) -> None:
    project.write("archs/own.py", OWN)
    wrong = {"one": "{ heads = 1 }", "k15": "{ heads = 15 }", "k17": "{ heads = 17 }", "sums": "{ sums = true }"}
    variants = "".join(f'\n[[variants]]\nname = "{n}"\narch = "own"\noptions = {o}\n' for n, o in wrong.items())
    suite = text(variants)
    project.suite(suite)
    done = run(project)
    assert (done.code, project.runs) == (2, [])
    found = {"one": "1 4 4", "k15": "15 4 4", "k17": "17 4 4", "sums": "16"}
    lines = {name: 1 + suite[: suite.index(f'name = "{name}"')].count("\n") - 1 for name in wrong}
    assert done.said == [
        f"suites/tiny.toml:{lines[name]}: variant '{name}': an output is N {shape}, not N 16 h w: data set 'synthetic' "
        "has 16 joints; build the network with a map for each"
        for name, shape in found.items()
    ]


def weights(project: Project, content: object) -> None:
    torch.save(content, project.folder / "suites" / "net.pt")
    project.suite(text(hourglass("a", 8, 'weights = "net.pt"')))


def test_weights_of_another_architecture_are_refused(project: Project) -> None:
    weights(project, build(stacks=1, features=4, depth=1).state_dict())
    line = refused(project)
    assert "net.pt: weights of another architecture: " in line
    assert line.endswith("; write the arch and options that they were trained with, or other weights")


def test_truncated_weights_are_refused(project: Project) -> None:
    weights(project, build(stacks=1, features=8, depth=1).state_dict())
    path = project.folder / "suites" / "net.pt"
    path.write_bytes(path.read_bytes()[:4000])
    line = refused(project)
    assert "net.pt: truncated, or no checkpoint of torch; put a file there that torch.save(" in line


def test_a_pointer_in_place_of_weights_says_how_to_fetch_them(project: Project) -> None:
    weights(project, {})
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    project.write("suites/net.pt", pointer)
    assert refused(project).endswith("net.pt: a Git LFS pointer; fetch the file: git lfs pull")


def test_weights_that_are_no_state_dict_are_refused(project: Project) -> None:
    weights(project, {"epoch": 3})
    assert "net.pt: not a state dict" in refused(project)


def test_an_unknown_preset_is_refused_with_the_known_ones(project: Project) -> None:
    project.suite(text(hourglass("a", 8)).replace("val   = 4", 'val   = 4\npreset = "harder"'))
    assert 'preset = "harder"' in refused(project)
    assert '"easy" or "default" or "hard"' in refused(project)


def training(project: Project) -> tuple[Running, Path]:
    """A run that trains, and the checkpoint that it has written by now."""
    project.suite(text(hourglass("a", 8), samples=60, validations=15))
    running = project.start("run", "suites/tiny.toml")
    until(lambda: len(list(project.results.rglob("*-last.pt"))) == 1, seconds=60)
    (last,) = project.results.rglob("*-last.pt")
    return running, last


def killed(project: Project) -> tuple[Path, Path]:
    """The file of a run that was killed while it trained, and the checkpoint that it left."""
    running, last = training(project)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    (file,) = project.runs
    return file, last


def test_a_killed_training_is_resumed_from_its_checkpoint(project: Project) -> None:
    file, last = killed(project)
    before = torch.load(last, weights_only=True)["course"]["step"]
    assert 0 < before < 30
    resumed = run(project, "--resume", file.stem)
    assert resumed.code == 0, resumed.err
    broken = json.loads(file.read_text().splitlines()[-1])
    whole = run(project, "--fresh")
    assert whole.code == 0, whole.err
    again = json.loads(project.runs[-1].read_text().splitlines()[-1])
    curves = [
        {v["quantity"]["name"]: v["details"]["curve"] for v in record["values"] if "curve" in v.get("details", {})}
        for record in (broken, again)
    ]
    assert curves[0] == curves[1]


def test_a_broken_checkpoint_says_what_to_delete_and_then_the_training_begins_anew(project: Project) -> None:
    file, last = killed(project)
    last.write_bytes(last.read_bytes()[:1000])
    broken = run(project, "--resume", file.stem)
    place = last.relative_to(project.folder)
    reason = json.loads(file.read_text().splitlines()[-1])["reason"]
    assert broken.code == 5
    assert reason.endswith(f"truncated, or no checkpoint of torch; delete {place} to train from the beginning")
    last.unlink()
    again = run(project, "--resume", file.stem)
    assert again.code == 0, again.err


def test_pictures_that_cannot_be_kept_cost_no_training(project: Project) -> None:
    running, last = training(project)
    last.with_name(last.name.replace("last.pt", "examples.npz.part")).symlink_to("/dev/full")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    record = json.loads(project.runs[0].read_text().splitlines()[-1])
    values = {value["quantity"]["name"]: value for value in record["values"]}
    assert record["status"] == "ok"
    assert "value" in values["pckh.total"]
    assert values["examples"]["reason"].endswith("examples.npz: cannot be written (No space left on device)")


def test_a_full_disk_ends_a_training_with_one_clear_line(project: Project) -> None:
    running, last = training(project)
    full = last.with_name(f"{last.name}.part")
    while running.poll() is None and not full.is_symlink():
        try:
            full.symlink_to("/dev/full")
        except FileExistsError:
            continue  # it is just being written
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 5
    assert "last.pt: cannot be written (No space left on device); the last complete one is kept" in " ".join(
        out.split()
    )
    assert torch.load(last, weights_only=True)["course"]["step"] > 0
    assert not is_running(running.pid)
