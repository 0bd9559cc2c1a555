"""The folder of compile caches, and what an error of a compiler is called."""

from pathlib import Path

import pytest

from bench.errors import Failed
from bench.worker import compiling


def test_an_empty_folder_is_cold_and_one_that_holds_something_is_warm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run" / "inductor"
    monkeypatch.setenv(compiling.INDUCTOR, str(folder))
    assert compiling.cache_state() == "cold"
    assert list(folder.iterdir()) == []  # the attempt to write has left nothing
    (folder / "kernel.so").touch()
    assert compiling.cache_state() == "warm"


def test_a_worker_that_was_started_by_hand_has_caches_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiling.INDUCTOR, "")
    monkeypatch.setenv(compiling.TRITON, "")
    compiling._own_folder.cache_clear()
    assert compiling.cache_state() == "cold"
    folder = Path(compiling.os.environ[compiling.INDUCTOR])
    assert folder.is_dir()
    assert Path(compiling.os.environ[compiling.TRITON]).parent == folder.parent
    compiling._own_folder.cache_clear()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(compiling.INDUCTOR, str(tmp_path / "file" / "inductor"))
    with pytest.raises(Failed, match=r"^no compile cache in .*/inductor: Not a directory; set TMPDIR to a folder with"):
        compiling.cache_state()


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    monkeypatch.setenv(compiling.INDUCTOR, str(tmp_path))
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(compiling, "TemporaryFile", lambda **_: full)
        with pytest.raises(Failed, match=r"No space left on device; set TMPDIR to a folder with room$"):
            compiling.cache_state()


def test_an_error_of_the_networks_own_is_named_as_it_is() -> None:
    assert compiling.described(ValueError("too hot\nvery")) == "ValueError: too hot"


def test_a_compilers_error_is_named_without_its_wrapper() -> None:
    class Wrapped(Exception):
        inner_exception = RuntimeError(
            "C++ compile error\n\nCommand:\ng++ x\n\nx.cpp:1:2: fatal error: omp.h: no such\n"
        )

    Wrapped.__module__ = "torch._inductor.exc"
    expected = "torch.compile raised RuntimeError: x.cpp:1:2: fatal error: omp.h: no such"
    assert compiling.described(Wrapped()) == expected
