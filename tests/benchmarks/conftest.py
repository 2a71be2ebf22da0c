"""What tests of the benchmarks share: the folder that they import from, and how a quick run must go."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def quick_line() -> Callable[[ModuleType], dict[str, Any]]:
    """A function that runs a benchmark with --quick, which must store nothing, and returns its last line."""

    def run(benchmark: ModuleType) -> dict[str, Any]:
        before = benchmark.STORED.read_bytes()
        command = [sys.executable, str(benchmark.__file__), "--quick"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=560)
        assert benchmark.STORED.read_bytes() == before
        return json.loads(done.stdout.splitlines()[-1])

    return run
