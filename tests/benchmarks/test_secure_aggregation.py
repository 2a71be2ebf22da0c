"""The benchmark of secure aggregation measures what it says it measures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import secure_aggregation as benchmark


def test_plain_and_masked_sums_send_what_they_should() -> None:
    given = benchmark.vectors(10, 50)
    assert benchmark.measure(benchmark.PLAIN, given)["bytes"] == 10 * 50 * 4
    ours = benchmark.measure(benchmark.OURS, given)
    dropouts = benchmark.measure(benchmark.DROPOUTS, given)
    assert ours["bytes"] - dropouts["bytes"] == 4 * 52 + 10 * 5 + 10 * 37  # what one client less sends and gets
    assert 0 < ours["seconds_a_client"] < ours["seconds"] / 10


def test_a_contender_with_a_wrong_mean_stops_the_benchmark() -> None:
    given = benchmark.vectors(10, 50)
    given[3] = torch.full((50,), 2 * benchmark.BOUND)  # is cut off
    with pytest.raises(RuntimeError, match=r"ours, 10 clients: the mean is wrong by up to 0\.1"):
        benchmark.measure(benchmark.OURS, given)


def test_neighbours_grow_with_the_logarithm() -> None:
    assert [benchmark.neighbours(clients) for clients in (4, 10, 50, 200)] == [4, 9, 13, 17]


def test_the_stored_study_holds_all_that_the_command_measures() -> None:
    study = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    assert study["command"] == "python benchmarks/secure_aggregation.py --store"
    assert study["weights"] == benchmark.WEIGHTS and study["turns"] == 3
    contenders = (benchmark.PLAIN, benchmark.OURS, benchmark.DROPOUTS)
    everyone = [(clients, contender) for clients in benchmark.STORED_CLIENTS for contender in contenders]
    assert [(row["clients"], row["contender"]) for row in study["rows"]] == everyone
    for row in study["rows"]:
        n, plain = row["clients"], 4 * row["clients"] * benchmark.WEIGHTS
        # keys, everybody's keys, shares up and down, two more numbers, survivors, shares to unmask
        protocol = n * (64 + 68 * n + 2 * 162 * n + 2 * 4 + 5 * n + 37 * n)
        if row["contender"] != benchmark.DROPOUTS:
            assert row["bytes"] == (plain if row["contender"] == benchmark.PLAIN else plain + protocol)


def test_store_writes_the_medians_of_its_own_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "STORED", tmp_path / "study.json")
    monkeypatch.setattr(benchmark, "STORED_CLIENTS", (4, 10))
    monkeypatch.setattr(benchmark, "WEIGHTS", 1000)
    monkeypatch.setattr(sys, "argv", ["secure_aggregation.py", "--store"])
    benchmark.main()
    study = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    assert [row["clients"] for row in study["rows"]] == [4] * 3 + [10] * 3
    assert study["rows"][4]["bytes"] > study["rows"][3]["bytes"] == 10 * 1000 * 4


@pytest.mark.peers
@pytest.mark.parametrize("contender", [benchmark.ALL_PAIRS, benchmark.FEW_PAIRS])
def test_flower_runs_in_this_process_and_gets_the_same_mean(contender: str) -> None:
    figures = benchmark.measure(contender, benchmark.vectors(10, 50))
    assert figures["bytes"] > 10 * 50 * 8 and figures["seconds"] > 0


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_figures_as_json() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "secure_aggregation.py"), "--quick"],
        capture_output=True, text=True, check=False, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])["10"]
    assert figures["bytes_over_plain"] > 1 and figures["seconds_over_plain"] > 1
    assert figures["flower_all_pairs_seconds"] is None
