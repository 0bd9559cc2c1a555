"""A gate's judgement as a page: for people, for a pull request, for another program, for a CI's list of tests.

`python -m bench.gate.page FILE FORMAT` shows a judgement.json again, in any of FORMATS.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import StoreError
from bench.gate import Judgement

FORMATS = ("terminal", "markdown", "json", "junit", "github")


def show(judgement: Judgement, form: str) -> str:
    """The page, in one of FORMATS; it ends without a newline.

    `github` is for a step of a workflow: it also appends its summary to the file that $GITHUB_STEP_SUMMARY names.
    """
    layout: Any = import_module(f"bench.gate.page.{form}")  # rich, tabulate: only what this form needs
    return str(layout.render(judgement)).rstrip("\n")


def read(path: Path) -> Judgement:
    """A judgement from its JSON, as `show` writes it.

    Raises:
        StoreError: there is no such file, or it holds no judgement.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Judgement)
    except OSError as error:
        raise StoreError(f"{path}: cannot read ({error.strerror}); bench gate writes a judgement.json") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}:1: not a judgement of bench ({error}); name a judgement.json of bench gate") from None
