"""The benchmark of the ring: ratios within a turn, and a last line of JSON."""

import json
import subprocess
import sys

import collectives as benchmark
import pytest


def test_figures_are_medians_of_the_ratios_within_a_turn() -> None:
    turns = {"1e4": [(2.0, 1.0), (30.0, 10.0), (1.0, 1.0)], "1e6": [(1.0, 2.0)]}
    assert benchmark.figures(turns) == {"over_gloo": {"1e4": 2.0, "1e6": 0.5}}


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_figures_as_json() -> None:
    done = subprocess.run(
        [sys.executable, str(benchmark.__file__), "--quick"], capture_output=True, text=True, check=False, timeout=560
    )
    assert done.returncode == 0, done.stderr
    over_gloo = json.loads(done.stdout.splitlines()[-1])["over_gloo"]
    assert list(over_gloo) == ["1e4", "1e6"] and min(over_gloo.values()) > 0
