"""`bench data` through the command line: what it draws, what it writes, and how that is trained on."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from command_line import HEAD, PROTOCOL, Done, Project, Typed, files_below, hourglass
from PIL import Image

from bench import store

TRAINED = HEAD.replace('"random"', '"jpeg_people"').replace('["params", "infer"]', '["train_time"]')
TRAIN = '\n[train]\nrecipe = "adam_short"\nbatch = 2\n'


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    """A project in which people were written to the folder `people`."""
    project = Project(tmp_path_factory.mktemp("written"))
    return project, project.bench(
        *("data", "write", "synthetic", "people", "--n", "6", "--size", "32", "-o", "preset=easy")
    )


def sheet(project: Project, name: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(project.folder / name) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.array(picture)


def test_what_is_written_is_said(written: tuple[Project, Done]) -> None:
    project, done = written
    assert (done.code, done.out) == (0, "people\n"), done.err
    assert done.err.splitlines() == [
        "writing images of 'synthetic' to people: 6 train and 1 val",
        'train on it: use = "jpeg_people" in a suite, and bench run SUITE --data jpeg_people=people',
    ]
    names = [f"train/images/{n:06d}.jpg" for n in range(6)] + ["val/images/000000.jpg"]
    places = [f"people/{name}" for name in (*names, "train/annotation.json", "val/annotation.json")]
    found = [str(Path(file).relative_to(project.folder)) for file in files_below(project.folder / "people")]
    assert sorted(found) == sorted(places)


def test_the_annotation_is_plain(written: tuple[Project, Done]) -> None:
    annotation = json.loads((written[0].folder / "people" / "train" / "annotation.json").read_text())
    people = annotation.pop("people")
    assert annotation == {
        "format": 1,
        "source": "synthetic",
        "size": [32, 32],
        "split": "train",
        "options": {"preset": "easy"},
    }
    assert len(people) == 6
    for person in people:
        assert list(person) == ["image", "joints", "labelled", "visible", "head_box", "head_size"]
        assert [len(person[key]) for key in ("joints", "labelled", "visible", "head_box")] == [16, 16, 16, 4]


def test_a_sheet_shows_joints_and_parts(project: Project) -> None:
    done = project.bench("data", "show", "synthetic", "--out", "new/sheet.png", "--n", "5", "--size", "32")
    assert (done.code, done.out, done.err) == (0, "new/sheet.png\n", "")
    found = sheet(project, "new/sheet.png")
    # Images of 32 pixels are enlarged to 256, their parts lie below; four in a row; a title above, a key below.
    assert found.shape == (22 + 2 * (256 + 1 + 256 + 6) + 6 + 22, 4 * (256 + 6) + 6, 3)
    rows = found[28 : 28 + 256]
    for colour in ((255, 200, 30), (70, 185, 255), (255, 255, 255), (110, 235, 110)):  # right, left, centre, head box
        assert (rows[:, 6:262] == colour).all(-1).sum() > 20, colour
    parts = found[28 + 257 : 28 + 513, 6:262].reshape(-1, 3)
    assert len(np.unique(parts, axis=0)) >= 10


def test_files_are_shown_as_their_source_is(written: tuple[Project, Done]) -> None:
    """The same joints on nearly the same images, but for the parts, which files do not have."""
    project, _ = written
    shared = ("--n", "3", "--split", "train", "--size", "32")
    assert project.bench("data", "show", "synthetic", "-o", "preset=easy", "--out", "a.png", *shared).code == 0
    done = project.bench("data", "show", "jpeg_people", "--data", "jpeg_people=people", "--out", "b.png", *shared)
    assert (done.code, done.out) == (0, "b.png\n"), done.err
    source, files = sheet(project, "a.png"), sheet(project, "b.png")
    assert files.shape == (22 + 256 + 6 + 6 + 22, 3 * (256 + 6) + 6, 3)
    images, copies = (array[28 : 28 + 256].astype(int) for array in (source, files))
    assert np.abs(images - copies).mean() < 12
    for colour in ((255, 200, 30), (70, 185, 255)):
        marks, again = ((array == colour).all(-1) for array in (images, copies))
        assert marks.sum() > 50
        assert (marks & again).sum() > 0.95 * marks.sum()


def test_the_split_that_is_kept_for_the_end_is_written_where_it_is_asked_for(project: Project) -> None:
    shared = ("--n", "20", "--size", "32")
    everything = [f"--split={split}" for split in ("test", "train", "val")]
    done = project.bench("data", "write", "synthetic", "people", *shared, *everything)
    assert done.code == 0, done.err
    assert "to people: 20 train and 2 val and 2 test\n" in done.err
    done = project.bench("data", "write", "synthetic", "people", *shared, "--split=test", "--split=val", "--force")
    assert done.code == 0, done.err
    assert "to people: 20 val and 20 test\n" in done.err
    annotation = json.loads((project.folder / "people" / "test" / "annotation.json").read_text())
    assert (annotation["split"], len(annotation["people"])) == ("test", 20)


def test_the_test_split_is_shown_of_files_as_of_their_source(project: Project) -> None:
    shown = ("--split", "test", "--n", "2", "--size", "32")
    assert project.bench("data", "write", "synthetic", "people", *shown).code == 0
    assert project.bench("data", "show", "synthetic", "--out", "a.png", *shown).code == 0
    done = project.bench("data", "show", "jpeg_people", "--data", "jpeg_people=people", "--out", "b.png", *shown)
    assert (done.code, done.out) == (0, "b.png\n"), done.err
    right = [(sheet(project, name)[28 : 28 + 256] == (255, 200, 30)).all(-1) for name in ("a.png", "b.png")]
    assert right[0].sum() > 50 and (right[0] & right[1]).sum() > 0.95 * right[0].sum()


def test_a_data_set_without_a_test_split_does_not_show_one(written: tuple[Project, Done]) -> None:
    project, _ = written
    done = project.bench("data", "show", "jpeg_people", "--data=jpeg_people=people", "--out=x.png", "--split=test")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("people/test/annotation.json: no such file; make it: bench data write NAME DIR")


def test_a_training_reads_the_files(written: tuple[Project, Done]) -> None:
    project, _ = written
    project.suite(TRAINED.replace("train = 4", "train = 20") + TRAIN + hourglass("a", 4) + PROTOCOL, "files")
    done = project.bench("run", "files", "--data", "jpeg_people=people")
    assert done.code == 0, done.err
    (record,) = store.read(project.runs[-1]).records
    values = {value.quantity.name: value for value in record.values}
    assert values["train_epoch"].details["steps"] == 10  # of 20 images, though the files are 6
    assert values["train_epoch"].value and values["data_wait"].value
    assert str(project.folder) not in json.dumps(record.fingerprints)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "variant 'a': jpeg_people reads files: write where they lie, --data jpeg_people=DIR"),
        (["--data", "jpeg_people=archs"], "archs/val/annotation.json: no such file; make it: bench data write"),
    ],
    ids=["no path", "no annotation"],
)
def test_a_suite_without_its_files_is_not_run(project: Project, arguments: list[str], said: str) -> None:
    project.suite(TRAINED + TRAIN + hourglass("a", 4) + PROTOCOL, "files")
    done = project.bench("run", "files", *arguments)
    assert (done.code, done.out, project.runs) == (2, "", [])
    (line,) = done.said
    assert said in line


class Wrong(NamedTuple):
    """A command line after `bench data`, and how the line begins that answers it."""

    typed: str
    said: str


WRONG = (
    Wrong("show synthtic --out x.png", "unknown dataset 'synthtic'; did you mean 'synthetic'?"),
    Wrong("write synthtic new", "unknown dataset 'synthtic'; did you mean 'synthetic'?"),
    Wrong(
        "show synthetic --out x.png -o prest=easy",
        "data set 'synthetic': unknown option 'prest'; did you mean 'preset'?",
    ),
    Wrong("write synthetic new -o preset=esy", 'data set \'synthetic\': preset = "esy": expected "easy" or '),
    Wrong("write random new -o joints=many", "data set 'random': joints = \"many\": expected int; the default is 16"),
    Wrong("show synthetic --out x.png -o size=3", "data set 'synthetic': unknown option 'size'"),
    Wrong("show synthetic --out x.png -o preset", "Invalid value for '-o' / '--option': 'preset': write KEY=VALUE"),
    Wrong("show synthetic --out x.png --n 0", "Invalid value for '--n': 0 is not in the range 1<=x<=100"),
    Wrong("write synthetic new --n 0", "Invalid value for '--n': 0 is not in the range x>=1"),
    Wrong("write synthetic new --size 0", "Invalid value for '--size': 0 is not in the range x>=1"),
    Wrong("write synthetic new --split tst", "Invalid value for '--split': 'tst' is not one of 'train', 'val', 'test'"),
    Wrong("show synthetic --out x.jpg", "--out x.jpg: a PNG is written; name it x.png"),
    Wrong("show synthetic", "Missing option '--out'"),
    Wrong("shwo synthetic", "No such command 'shwo'. Did you mean 'show'?"),
    Wrong(
        "show synthetic --out x.png --data synthetic=suites", "--data synthetic=...: data set 'synthetic' is made, it "
    ),
    Wrong("show synthetic --out x.png --data random=suites", "--data random=...: this is about data set 'synthetic'; "),
    Wrong(
        "show jpeg_people --out x.png --data jpeg_people=no", "--data jpeg_people=no: no such file or folder; write "
    ),
    Wrong(
        "write synthetic suites", "suites: not empty, and tiny.toml is not of `bench data write`; name another folder"
    ),
    Wrong("write synthetic suites --force", "suites: not empty, and tiny.toml is not of `bench data write`; name "),
    Wrong("write synthetic suites/tiny.toml", "suites/tiny.toml: cannot be written (File exists); name another folder"),
    Wrong(
        "write synthetic suites/tiny.toml/x", "suites/tiny.toml/x: cannot be written (Not a directory); name another "
    ),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.typed)
def test_what_cannot_be_is_one_line_and_writes_nothing(project: Project, bench: Typed, wrong: Wrong) -> None:
    before = files_below(project.folder)
    done = bench("data", *wrong.typed.split())
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(wrong.said)
    assert files_below(project.folder) == before
    assert not (project.folder / "new").exists()


def test_several_wrong_options_are_a_line_each(bench: Typed) -> None:
    done = bench("data", "write", "synthetic", "new", "-o", "prest=easy", "-o", "shuffled=7")
    assert done.code == 2
    assert [line.split(": ")[1].split(" = ")[0] for line in done.err.splitlines()] == [
        "unknown option 'prest'; did you mean 'preset'?",
        "shuffled",
    ]


def two(folder: Path, name: str = "000000.jpg") -> Path:
    """What `bench data write` leaves, as far as its files go."""
    for split in ("train", "val"):
        (folder / split / "images").mkdir(parents=True)
        (folder / split / "images" / name).write_bytes(b"image")
        listed = {"format": 1, "source": "synthetic", "people": [{"image": "images/000000.jpg"}]}
        (folder / split / "annotation.json").write_text(json.dumps(listed))
    return folder


def test_a_folder_of_ones_own_is_kept(project: Project, bench: Typed) -> None:
    before = files_below(two(project.folder / "people"))
    done = bench("data", "write", "random", "people")
    assert (done.code, done.out) == (2, "")
    assert done.err == "people: not empty; name another folder, or replace what is in it with --force\n"
    assert files_below(project.folder / "people") == before


def test_images_that_no_annotation_names_are_never_replaced(project: Project, bench: Typed) -> None:
    before = files_below(two(project.folder / "people", "mine.jpg"))
    done = bench("data", "write", "random", "people", "--force")
    assert done.code == 2
    assert done.err.startswith("people: not empty, and train/images/mine.jpg is not of `bench data write`; ")
    assert files_below(project.folder / "people") == before


def test_force_replaces_the_splits_that_are_asked_for(project: Project) -> None:
    folder = two(project.folder / "people")
    (folder / ".partial" / "val").mkdir(parents=True)  # of a command that was killed
    before = files_below(folder / "train")
    done = project.bench(
        *["data", "write", "random", "people", "--force", "--split", "val", "--n", "2", "--size", "16"]
    )
    assert done.code == 0, done.err
    assert "to people: 2 val\n" in done.err
    assert files_below(folder / "train") == before
    assert sorted(file.name for file in (folder / "val" / "images").iterdir()) == ["000000.jpg", "000001.jpg"]
    assert sorted(each.name for each in folder.iterdir()) == ["train", "val"]


def broken(project: Project) -> Path:
    """A copy of files, of which the first image is cut off."""
    done = project.bench(*["data", "write", "random", "broken", "--n", "1", "--size", "64", "--split", "val"])
    assert done.code == 0, done.err
    file = project.folder / "broken" / "val" / "images" / "000000.jpg"
    file.write_bytes(file.read_bytes()[:-300])
    return file


def test_a_truncated_image_is_named(project: Project) -> None:
    file = broken(project)
    done = project.bench(*["data", "show", "jpeg_people", "-o", "path=broken", "--out", "x.png"])
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"{file.relative_to(project.folder)}: cannot be decoded (image file is truncated ")
    assert line.endswith("; write the folder again: bench data write NAME DIR --force")
    assert not (project.folder / "x.png").exists()


@pytest.mark.parametrize("before", [False, True], ids=["new", "replaced"])
def test_a_full_disk_leaves_what_was_there(project: Project, before: bool) -> None:
    """No file may become larger than 2,000 bytes, which an image of noise is."""
    folder = project.folder / "people"
    was = files_below(two(folder)) if before else {}
    done = subprocess.run(
        [sys.executable, "-m", "bench", *["data", "write", "random", "people", "--force", "--n", "4", "--size", "128"]],
        cwd=project.folder,
        env=project.variables() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[1:] == ["people: cannot be written (File too large); name a folder with more room"]
    assert files_below(folder) == was
    assert folder.exists() == before


def test_a_worker_that_dies_is_no_mistake_of_the_command_line(
    project: Project, bench: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.engines import local

    monkeypatch.setattr(local, "COMMAND", (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"))
    done = bench("data", "write", "random", "people", "--n", "1")
    assert done.code == 5
    assert done.err.splitlines()[1].startswith("crashed: killed by SIGKILL")
    assert not (project.folder / "people").exists()
