"""The benchmark of the synchronous step: ratios within a turn, equal work, and a last line of JSON."""

import json
import subprocess
import sys

import data_parallel as benchmark
import pytest
import torch


def test_figures_are_medians_of_the_ratios_within_a_turn() -> None:
    turns = {
        "mlp64": [
            {"ours": 1.0, "ddp": 2.0, "alone": 9.0},
            {"ours": 9.0, "ddp": 10.0, "alone": 1.0},
            {"ours": 3.0, "ddp": 5.0, "alone": 1.0},
        ],
        "cnn": [{"ours": 5.0, "ddp": 4.0, "alone": 8.0}],
    }
    assert benchmark.figures(turns) == {"ours_over_ddp": {"mlp64": 0.6, "cnn": 1.25}, "efficiency": 0.8}
    assert benchmark.figures({"mlp64": turns["mlp64"]})["efficiency"] is None


def test_a_step_is_the_median_stretch_over_its_steps_without_the_first() -> None:
    workload = benchmark.Workload("any", benchmark.WORKLOADS[0].spec, 20, 10)
    assert benchmark.a_step([100.0, 101.0, 103.0, 104.0], workload) == pytest.approx(0.1)


def test_who_takes_other_steps_stops_the_benchmark() -> None:
    ddp = torch.ones(100)
    benchmark.check({"ours": ddp * 1.01, "ddp": ddp})
    for wrong in (ddp * 0.5, torch.zeros(100), torch.full((100,), float("nan"))):
        with pytest.raises(RuntimeError, match=r"ours ended .* from DDP's weights"):
            benchmark.check({"ours": wrong, "ddp": ddp})


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_figures_as_json() -> None:
    done = subprocess.run(
        [sys.executable, str(benchmark.__file__), "--quick"], capture_output=True, text=True, check=False, timeout=560
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert list(figures) == ["ours_over_ddp", "efficiency"]
    assert list(figures["ours_over_ddp"]) == ["mlp64"] and figures["ours_over_ddp"]["mlp64"] > 0
