"""What modes that compile have in common: where their compilers' caches lie, and what an error of theirs is called."""

import atexit
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryFile, mkdtemp
from types import TracebackType

from bench.errors import Failed, first_line

INDUCTOR, TRITON = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"
"""Environment variables that name the folders of compile caches; the engine sets them for each cell of a run."""

ROOM = 1 << 20
"""Bytes that must fit into the cache folder: a two-layer network's C++ kernels take 0.4 MB."""

COMPILER = ("torch/_inductor/", "torch/_functorch/_aot_autograd/")
COMPILER_ERRORS = ("torch._dynamo", "torch._inductor")
COMPILED_CALL = "compile_wrapper"
"""The function of torch/_dynamo through which compiled code is called; others of its functions switch it off."""


def cache_state() -> str:
    """`cold` where the folder of compile caches is empty, `warm` where an earlier process has left something in it.

    A worker that was started by hand has no folder: it gets an empty one, which goes with the process.

    Raises:
        Failed: nothing can be written there.
    """
    folder = Path(os.environ.get(INDUCTOR) or _own_folder())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = "warm" if any(folder.iterdir()) else "cold"
        with TemporaryFile(dir=folder, buffering=0) as file:
            if file.write(bytes(ROOM)) < ROOM:  # a disk that has less takes what it can
                raise OSError(0, "No space left on device")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Failed(f"no compile cache in {folder}: {reason}; set TMPDIR to a folder with room") from None
    return state


@cache
def _own_folder() -> str:
    """A folder for this process alone, which is removed at its end."""
    folder = mkdtemp(prefix="bench-caches-")
    atexit.register(rmtree, folder, ignore_errors=True)
    os.environ[INDUCTOR], os.environ[TRITON] = f"{folder}/inductor", f"{folder}/triton"
    return os.environ[INDUCTOR]


def described(error: Exception) -> str:
    """One line about an error: `torch.compile raised UnboundLocalError: ...` where the compiler or its code raised it.

    What a compiler wraps is named instead of the wrapper.
    """
    cause = getattr(error, "inner_exception", error)
    text = f"{type(cause).__name__}: {_telling_line(cause)}"
    raised = type(error).__module__.startswith(COMPILER_ERRORS) or any(map(_compiled, _frames(error.__traceback__)))
    return f"torch.compile raised {text}" if raised else text


def _telling_line(error: BaseException) -> str:
    """Of a C++ compiler's output the first line that says what is wrong, else the first line."""
    lines = str(error).splitlines()
    return next((line.strip() for line in lines[1:] if " error: " in line), first_line(error))


def _compiled(frame: tuple[str, str]) -> bool:
    file, function = frame
    return any(part in file for part in COMPILER) or ("torch/_dynamo/" in file and function == COMPILED_CALL)


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, str]]:
    """(File, function) of each frame that an error came through."""
    while traceback:
        code = traceback.tb_frame.f_code
        yield code.co_filename, code.co_name
        traceback = traceback.tb_next
