"""What a worker changes in its process is put back, since tests share one."""

import sys
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """One thread: with more, they wait for each other wherever something else runs, and tiny networks need none."""
    paths, threads, modules = list(sys.path), torch.get_num_threads(), set(sys.modules)
    torch.set_num_threads(1)
    yield
    sys.path[:] = paths
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)  # a training to the end asks for them
    for name in set(sys.modules) - modules:
        if name.startswith("own_"):
            del sys.modules[name]
