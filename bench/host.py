"""This machine and this code as plain facts, read without importing torch and before anything is timed."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.record import Json, digest


def machine(threads: int | None = None) -> Json:
    """Identity of this machine: only what it is, never what it happens to be doing; never a host name.

    `id` is a short hash of the rest. Times, memory and energy compare only between equal identities.
    """
    identity: Json = {
        "cpu": cpu_model(),
        "isa": instructions(),
        "cores": usable_cores(),
        "threads": threads or usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": version("torch"),
        "cudnn": cudnn(),
        "gpus": gpus(),
    }
    return {"id": digest(identity)[:8], **identity}


def usable_cores() -> int:
    """Cores that this process may use (affinity respected)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name, with family and model where the system says them; else the architecture.

    Virtual machines often call several generations by one name ("AMD EPYC").
    """
    facts = _cpu_facts()
    name = facts.get("model name") or platform.processor() or platform.machine()
    kind = [f"{label} {facts[key]}" for key, label in (("cpu family", "family"), ("model", "model")) if key in facts]
    return f"{name} ({', '.join(kind)})" if kind else name


ISA = ("avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve", "sve2")
"""Instructions that kernels are chosen by: a step in bfloat16 took 40 times as long on a processor without AVX-512."""


def instructions() -> str:
    """Vector instructions that the processor offers, of those that decide which kernels run; empty where unknown."""
    facts = _cpu_facts()
    offered = (facts.get("flags") or facts.get("Features") or "").split()
    return " ".join(name for name in ISA if name in offered)


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor."""
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}
    return {}


def version(distribution: str) -> str:
    """Installed version, or "not installed"."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def cudnn() -> str:
    """Version of the cuDNN that torch's wheels bring along; empty where there is none."""
    found = [version(f"nvidia-cudnn-cu{major}") for major in (13, 12)]
    return next((name for name in found if name != "not installed"), "")


def gpus() -> list[Json]:
    """Model, power limit (W) and driver of each NVIDIA device that the driver shows; empty where there is none."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = _asked(pynvml, pynvml.nvmlSystemGetDriverVersion)
        return [{**found, "driver": driver} for index in range(_count(pynvml)) if (found := _gpu(pynvml, index))]
    finally:
        pynvml.nvmlShutdown()


def _count(nvml: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError:
        return 0  # a device that the driver does not show cannot be identified


def _gpu(nvml: Any, index: int) -> Json:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError:
        return {}
    limit = _asked(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    watts = round(limit / 1000) if isinstance(limit, int) else limit
    return {"name": _asked(nvml, nvml.nvmlDeviceGetName, handle), "power_limit": watts}


def _asked(nvml: Any, query: Callable[..., Any], *arguments: Any) -> Any:
    """What the driver answers, or that it does not: containers leave out one call or another."""
    try:
        answer = query(*arguments)
    except nvml.NVMLError as error:
        return f"not readable ({error})"
    return answer.decode() if isinstance(answer, bytes) else answer


def has_cuda() -> tuple[bool, str]:
    """Whether jobs can run on CUDA here, and why (not). Torch's build is read from its files, not imported."""
    found = gpus()
    if not found:
        return False, "no CUDA device here"
    spec = find_spec("torch")
    stamp = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if stamp is None or not stamp.exists() or "cuda: Optional[str] = None" in stamp.read_text():
        return False, f"{found[0]['name']} is here, but torch {version('torch')} was built without CUDA"
    return True, f"{found[0]['name']} is here"


def source(folder: Path) -> Json:
    """The code that is measured: git commit, whether the tree differs from it and the hash of that difference."""
    facts: Json = {"bench": version("archbench")}
    try:
        facts["commit"] = _git(folder, "rev-parse", "HEAD").strip()
        difference = _git(folder, "diff", "HEAD", "--", "*.py", "*.toml")
        untracked = _git(folder, "ls-files", "-z", "--others", "--exclude-standard", "--", "*.py", "*.toml")
    except (OSError, subprocess.SubprocessError) as error:
        return facts | {"commit": "unknown", "why": _git_reason(error)}
    for name in filter(None, untracked.split("\0")):
        with suppress(OSError):  # an editor's lock is a link to nowhere
            difference += name + (folder / name).read_text(errors="replace")
    facts["dirty"] = hashlib.sha256(difference.encode()).hexdigest()[:16] if difference else ""
    return facts


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace", timeout=20).stdout


def _git_reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return (str(error.stderr).splitlines() or ["git failed"])[0]
    return "git is not installed"
