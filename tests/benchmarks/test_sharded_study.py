"""The benchmark of sharded training measures what it says it measures."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import sharded as benchmark


def test_the_stored_study_holds_what_the_command_measures_and_keeps_the_course_s_promise() -> None:
    study = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    assert study["command"] == "python benchmarks/sharded.py --store"
    assert study["weights"] == benchmark.weights(benchmark.SIZES) and tuple(study["sizes"]) == benchmark.SIZES
    for workers, by_stage in study["workers"].items():
        assert list(by_stage) == ["none", "1", "2", "3", "fully_shard"]
        peaks = [by_stage[stage]["bytes"] for stage in benchmark.STAGES]
        assert peaks == sorted(peaks, reverse=True)
        for stage, trips in {"none": 2, "1": 2, "2": 2, "3": 3}.items():
            paper = trips * (int(workers) - 1) / int(workers) * 4 * study["weights"]
            assert by_stage[stage]["sent"] == pytest.approx(paper, rel=1e-3)  # and a few bytes of padding
            assert by_stage[stage]["on_the_wire"] == pytest.approx(by_stage[stage]["sent"], rel=0.05)
    assert study["workers"]["4"]["3"]["over_unsharded"] <= 0.35


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_figures_as_json(quick_line: Callable[[ModuleType], dict[str, Any]]) -> None:
    line = quick_line(benchmark)
    assert line["unsharded_bytes"] == 16 * benchmark.weights(benchmark.QUICK_SIZES)
    assert set(line) == {"unsharded_bytes", "2", "4"}
    assert line["4"]["3"]["bytes"] < line["4"]["none"]["bytes"] and line["4"]["3"]["seconds_over_none"] > 0
    assert line["4"]["fully_shard"]["sent"] is None
