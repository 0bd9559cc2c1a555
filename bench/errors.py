"""The error tree and the exit codes.

BenchError                 70  a bug in bench, where nothing more exact is raised
├── UsageError              2  the command or the suite is wrong
│   ├── SuiteError          2  a suite file is wrong; lists every problem with its file:line
│   └── StoreError          2  a results folder or a run cannot be read or written
├── NotComparable           6  two runs that must not be compared or continued
├── Unavailable                a mode or a measure cannot run here; its reason is shown in the cell
└── Failed                     a mode was applied but is not what it says, or a measure went wrong
"""

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    FINE = 0
    REGRESSION = 1
    USAGE = 2
    INCONCLUSIVE = 3
    NOT_MEASURED = 4
    FAILED = 5
    NOT_COMPARABLE = 6
    BUG = 70
    INTERRUPTED = 130


class BenchError(Exception):
    """Any error that bench raises on purpose."""

    code = Exit.BUG


class UsageError(BenchError):
    """The command line or a file that it names is wrong; the message says what to type instead."""

    code = Exit.USAGE


class SuiteError(UsageError):
    """A suite is wrong: every problem at once, one line each, `file:line: what (what to type instead)`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class StoreError(UsageError):
    """A results folder or a run cannot be read or written."""


class NotComparable(BenchError):
    """The machine, the commit or the protocol differs, and comparing or continuing would mislead."""

    code = Exit.NOT_COMPARABLE


class Unavailable(BenchError):
    """Cannot run here (no device, no library, not applicable); shown as the reason in the cell."""


class Failed(BenchError):
    """Ran, and is wrong: a mode that was not applied, a loss that is not finite, a gap between counters."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def nearest(name: str, valid: Iterable[str]) -> str:
    """The hint after an unknown name: the nearest valid one, else all of them.

    >>> nearest("U-Nets", ["unet", "hourglass"])
    'one of: hourglass, unet'
    >>> nearest("hourglas", ["unet", "hourglass"])
    "did you mean 'hourglass'?"
    """
    known = sorted(valid)
    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"one of: {', '.join(known)}" if known else "there are none"
