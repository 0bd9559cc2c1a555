"""A package torch_tensorrt for a test: the fake of tests/worker/modes/fake_torch_tensorrt.py, or code of one's own."""

import shutil
from pathlib import Path

from jobs import ROOT

FAKE = ROOT / "tests" / "worker" / "modes" / "fake_torch_tensorrt.py"


def write_package(folder: Path, version: str, code: str = "") -> None:
    """A package torch_tensorrt in a folder, as pip would leave it; the fake, where no other code is given."""
    package, info = folder / "torch_tensorrt", folder / f"torch_tensorrt-{version}.dist-info"
    package.mkdir(), info.mkdir()
    (package / "VERSION").write_text(version)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch_tensorrt\nVersion: {version}\n")
    if code:
        (package / "__init__.py").write_text(code)
    else:
        shutil.copy(FAKE, package / "__init__.py")
