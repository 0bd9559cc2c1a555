"""NVML's view of a device: what slows it down, and its clock."""

from collections.abc import Callable
from typing import Any


class Nvml:
    """NVML's view of one device. Every call may be unsupported by itself; then its answer is None, with the reason.

    The device is found by its UUID, since CUDA_VISIBLE_DEVICES and PCI order change torch's indices, not NVML's.
    """

    def __init__(self, uuid: str) -> None:
        import pynvml

        self._api = pynvml
        self._handle, self._absent = None, ""
        full = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(full)
        except pynvml.NVMLError as error:
            self._absent = f"NVML: {error}"

    def reasons(self) -> tuple[bool | None, bool | None, str]:
        """Throttled, at the power limit, and why neither is known.

        Set application clocks or an idle device are no slow-down; software thermal slow-down is one.
        """
        api = self._api
        bits, why = self._ask("clocks event reasons", api.nvmlDeviceGetCurrentClocksEventReasons)
        if bits is None and not self._absent:  # drivers before 535 know it by its old name
            bits, _ = self._ask("clocks throttle reasons", api.nvmlDeviceGetCurrentClocksThrottleReasons)
        if bits is None:
            return None, None, why
        slow = (
            api.nvmlClocksEventReasonHwSlowdown
            | api.nvmlClocksEventReasonHwThermalSlowdown
            | api.nvmlClocksEventReasonSwThermalSlowdown
            | api.nvmlClocksEventReasonHwPowerBrakeSlowdown
        )
        return bool(bits & slow), bool(bits & api.nvmlClocksEventReasonSwPowerCap), ""

    def clock(self) -> tuple[float | None, str]:
        """The SM clock in MHz, or why it is not known."""
        kind = self._api.NVML_CLOCK_SM
        value, why = self._ask("SM clock", lambda handle: self._api.nvmlDeviceGetClockInfo(handle, kind))
        return None if value is None else float(value), why

    def _ask(self, what: str, query: Callable[[Any], int]) -> tuple[int | None, str]:
        if self._absent:
            return None, self._absent
        try:
            return int(query(self._handle)), ""
        except self._api.NVMLError as error:
            return None, f"{what}: {error}"
