import sys
from typing import Any

import pytest
from fakes import nvml_stub, refuse

from bench.worker.nvml import Nvml


@pytest.mark.parametrize(
    ("answers", "reasons", "clock"),
    [
        ({}, (True, True, ""), (1980.0, "")),
        ({"nvmlDeviceGetCurrentClocksEventReasons": lambda handle: 0x1}, (False, False, ""), (1980.0, "")),
        ({"nvmlDeviceGetCurrentClocksEventReasons": refuse}, (False, False, ""), (1980.0, "")),
        (
            {
                "nvmlDeviceGetCurrentClocksEventReasons": refuse,
                "nvmlDeviceGetCurrentClocksThrottleReasons": refuse,
                "nvmlDeviceGetClockInfo": refuse,
            },
            (None, None, "clocks event reasons: Not Supported"),
            (None, "SM clock: Not Supported"),
        ),
        ({"nvmlInit": refuse}, (None, None, "NVML: Not Supported"), (None, "NVML: Not Supported")),
        ({"nvmlDeviceGetHandleByUUID": refuse}, (None, None, "NVML: Not Supported"), (None, "NVML: Not Supported")),
    ],
)
def test_nvml_answers_or_says_why_not(
    answers: dict[str, Any], reasons: object, clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml_stub(**answers))
    nvml = Nvml("1234-5678")
    assert nvml.reasons() == reasons
    assert nvml.clock() == clock
    assert nvml._handle in (None, "GPU-1234-5678")
