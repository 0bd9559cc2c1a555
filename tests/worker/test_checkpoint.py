"""Checkpoints: whole or not there, and read as data."""

import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import tiny
from torch import nn

from bench.errors import Failed
from bench.worker import checkpoint


def network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt"
    checkpoint.save(network().state_dict(), path)
    return path


def test_weights_come_back(weights: Path) -> None:
    kept, fresh = checkpoint.load(weights), network()
    checkpoint.load_weights(fresh, weights)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in fresh.state_dict().items())


def test_a_checkpoint_of_a_training_serves_as_weights(tmp_path: Path) -> None:
    source, fresh = network(), network()
    checkpoint.save({"model": source.state_dict(), "step": 3}, tmp_path / "x-last.pt")
    checkpoint.load_weights(fresh, tmp_path / "x-last.pt")
    assert torch.equal(fresh.state_dict()["0.weight"], source.state_dict()["0.weight"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network(4), r"another architecture: 0\.weight has shape \(3, 3, 1, 1\), not \(4, 3, 1, 1\), and 5 more"),
        (nn.Sequential(*network(), nn.Conv2d(3, 1, 1)), r"another architecture: 2\.weight is missing, and 1 more"),
        (nn.Sequential(nn.Conv2d(3, 3, 1)), r"another architecture: 1\.weight is not in the network, and 4 more"),
    ],
)
def test_another_architecture_is_named_by_its_first_difference(weights: Path, other: nn.Module, message: str) -> None:
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    instead = "write the arch and options that they were trained with, or other weights"
    with pytest.raises(Failed, match=rf"^net\.pt: weights of {message}; {instead}$"):
        checkpoint.load_weights(other, weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_a_layer_that_is_left_out_keeps_its_own_weights_whatever_its_shape(weights: Path) -> None:
    kept, fresh = checkpoint.load(weights), nn.Sequential(nn.Conv2d(3, 7, 1), nn.BatchNorm2d(3))
    own = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    checkpoint.load_weights(fresh, weights, ["0"])
    assert torch.equal(fresh.state_dict()["0.weight"], own["0.weight"])
    assert torch.equal(fresh.state_dict()["1.running_var"], kept["1.running_var"])


def test_a_layer_that_is_left_out_is_one_of_the_network(weights: Path) -> None:
    with pytest.raises(Failed, match=r"^weights_without 'head': the network has no such layer; it has 0, 1$"):
        checkpoint.load_weights(network(), weights, ["head"])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_of_a_larger_one(path: Path) -> None:
    torch.save({"weight": torch.zeros(64, 64, 3)}, path)  # of this size, what is cut off is reported as an OSError
    half(path)


def text(path: Path) -> None:
    path.write_text("hello")


def json(path: Path) -> None:
    path.write_text('{"format": 1}')


def array(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY\x01\x00v\x00")


def empty(path: Path) -> None:
    path.write_bytes(b"")


INSTEAD = r"put a file there that torch\.save\(model\.state_dict\(\), PATH\) wrote$"


@pytest.mark.parametrize("spoil", [half, half_of_a_larger_one, text, json, array, empty])
def test_what_is_no_whole_checkpoint_says_so(weights: Path, spoil: Any) -> None:
    spoil(weights)
    with pytest.raises(Failed, match=rf"^net\.pt: truncated, or no checkpoint of torch; {INSTEAD}"):
        checkpoint.load_weights(network(), weights)


def test_the_older_format_is_read_and_its_truncation_told_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    checkpoint.load_weights(network(), path)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(Failed, match=rf"^net\.pt: (truncated, or no checkpoint|holds more than).*; {INSTEAD}"):
            checkpoint.load(path)


def test_the_older_format_without_one_of_its_storages_says_so(tmp_path: Path) -> None:
    path, tensor = tmp_path / "net.pt", torch.ones(2)
    torch.save({"a": tensor}, path, _use_new_zipfile_serialization=False)
    key = str(tensor.untyped_storage()._cdata).encode()
    before, key, after = path.read_bytes().rpartition(key)
    path.write_bytes(before + key[::-1] + after)
    with pytest.raises(Failed, match=r"^net\.pt: truncated, or no checkpoint of torch"):
        checkpoint.load(path)


def test_a_pointer_of_git_lfs_says_how_to_fetch_the_file(weights: Path) -> None:
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(Failed, match=r"^net\.pt: a Git LFS pointer; fetch the file: git lfs pull$"):
        checkpoint.load_weights(network(), weights)


def test_a_pickled_module_is_not_run(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "net.pt")
    with pytest.raises(Failed, match=r"holds more than tensors.*state_dict"):
        checkpoint.load_weights(network(), tmp_path / "net.pt")


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "trapped"),)

    (tmp_path / "net.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(Failed, match=r"^net\.pt"):
        checkpoint.load(tmp_path / "net.pt")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("state", [{}, [torch.ones(2)], {"epoch": 3}, torch.ones(2)])
def test_plain_data_that_is_no_state_dict_says_what_to_save(tmp_path: Path, state: Any) -> None:
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(Failed, match=r"not a state dict .*torch\.save\(model\.state_dict\(\), PATH\)"):
        checkpoint.load_weights(network(), tmp_path / "net.pt")


def test_no_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=rf"^gone\.pt: cannot be read \(No such file or directory\); {INSTEAD}"):
        checkpoint.load(tmp_path / "gone.pt")


def test_a_full_disk_leaves_the_former_one(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(Failed, match=r"No space left on device\); the last complete one is kept; free some space"):
        checkpoint.save(network(9).state_dict(), weights)
    assert weights.read_bytes() == before
    assert [path.name for path in weights.parent.iterdir()] == ["net.pt"]


def test_a_write_on_a_full_device_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "net.pt.part").symlink_to("/dev/full")
    with pytest.raises(Failed, match="No space left on device"):
        checkpoint.save(network().state_dict(), tmp_path / "net.pt")
    assert not (tmp_path / "net.pt").exists()


def test_a_file_in_place_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(Failed, match=r"^net\.pt: cannot be written \(File exists\); free some space or make its"):
        checkpoint.put(b"abc", tmp_path / "folder" / "net.pt")


def test_a_job_without_a_folder_keeps_nothing() -> None:
    assert checkpoint.file(tiny("accuracy"), "last.pt") is None
    assert checkpoint.hashes(tiny("accuracy")) == {}


def test_hashes_are_of_the_jobs_own_files(tmp_path: Path) -> None:
    job = tiny("accuracy", artefacts=str(tmp_path))
    path = checkpoint.file(job, "last.pt")
    assert path is not None
    checkpoint.put(b"abc", path)
    (tmp_path / f"{job.id}.log").write_text("a log is not an artefact")
    (tmp_path / "other-last.pt").write_bytes(b"x")
    (tmp_path / f"{job.id}-best.pt.part").write_bytes(b"what a kill left")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checkpoint.hashes(job) == {f"{job.id}-last.pt": expected}
