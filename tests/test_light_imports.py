"""What must start at once imports nothing heavy: looked up in a fresh process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

HEAVY = {"torch", "pandas", "scipy", "numpy", "fvcore", "pynvml", "rich", "altair", "vl_convert", "narwhals", "PIL"}

PROBE = """
import json, sys
sys.argv = ["bench", *sys.argv[1:]]
code = 0
if sys.argv[1:]:
    from bench.cli import main
    try:
        main()
    except SystemExit as end:
        code = end.code
else:
    import bench.cli
print(json.dumps({"code": code, "modules": sorted({name.partition(".")[0] for name in sys.modules})}), file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """Top-level modules that are there after a command has run; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    report = json.loads(done.stderr.splitlines()[-1])
    assert not report["code"], done.stderr
    return set(report["modules"])


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        ([], HEAVY | {"pydantic", "msgspec", "tomlkit"}),
        (["--help"], HEAVY | {"pydantic", "msgspec", "tomlkit"}),
        (["list"], HEAVY | {"pydantic", "tomlkit"}),
        (["run", "--help"], HEAVY),
        (["report", "--help"], HEAVY),
        (["plot", "--help"], HEAVY),
        (["compare", "--help"], HEAVY),
    ],
    ids=lambda words: " ".join(sorted(words) if isinstance(words, set) else words),
)
def test_nothing_heavy_is_imported(arguments: list[str], heavy: set[str]) -> None:
    assert imported(*arguments) & heavy == set()


def test_the_package_itself_is_light() -> None:
    code = "import sys, bench; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & (HEAVY | {"pydantic", "msgspec", "click"})
