"""What is kept of the machine beside stored benchmarks: what it is, never its name."""

from typing import Any


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    cpu = machine_info.pop("cpu")
    kept = {name: machine_info[name] for name in ("system", "machine", "python_implementation", "python_version")}
    machine_info.clear()
    machine_info.update(kept, cpu={"brand": cpu.get("brand_raw", ""), "count": cpu["count"]})
