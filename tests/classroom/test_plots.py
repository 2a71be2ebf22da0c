"""Figures can be read without colour, and their summaries say what the data says."""

import re
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from course_lib import data, learning, models, plans, rounds, study
from course_lib.classroom import plots


def a_run(name: str, accuracies: list[float], seconds: float = 1.0) -> Any:
    """As much of a run as a plot reads: its plan's name and its history."""
    count = len(accuracies)
    history = pd.DataFrame(
        {
            "round": range(1, count + 1), "accuracy": accuracies, "loss": [1 - value for value in accuracies],
            "bytes_up": [1_000_000 * step for step in range(1, count + 1)],
            "bytes_down": [2_000_000 * step for step in range(1, count + 1)], "bytes_moved": [500_000] * count,
            "seconds": [seconds * step for step in range(1, count + 1)],
        }
    )  # fmt: skip
    return SimpleNamespace(plan=SimpleNamespace(name=name), history=history)


THREE_SEEDS = [a_run("FedAvg", [0.5, 0.80]), a_run("FedAvg", [0.6, 0.82]), a_run("FedAvg", [0.7, 0.84])]
ONE_SEED = [a_run("SGD", [0.4, 0.9])]


def drawn(picture: plots.Picture) -> dict[str, Any]:
    """The points of each line, by its label."""
    [axes] = picture.figure.axes
    return {str(line.get_label()): tuple(np.asarray(line.get_data()).tolist()) for line in axes.lines}


def test_a_curve_is_the_mean_over_seeds_in_per_cent() -> None:
    lines = drawn(plots.curves({"FedAvg": THREE_SEEDS, "SGD": ONE_SEED}))
    assert lines["FedAvg"] == ([1, 2], pytest.approx([60, 82]))
    assert lines["SGD"] == ([1, 2], pytest.approx([40, 90]))


def test_the_band_is_the_95_per_cent_interval_over_seeds() -> None:
    [axes] = plots.curves({"FedAvg": THREE_SEEDS}).figure.axes
    [band] = axes.collections
    corners = np.asarray(band.get_paths()[0].vertices)
    at_round_2 = corners[corners[:, 0] == 2, 1].tolist()
    expected = learning.interval([80, 82, 84])
    assert (min(at_round_2), max(at_round_2)) == pytest.approx((expected.low, expected.high))


def test_the_summary_says_where_each_line_starts_and_ends_and_which_ends_highest() -> None:
    assert plots.curves({"FedAvg": THREE_SEEDS, "SGD": ONE_SEED}, title="A race").summary == (
        "A race. Lines of test accuracy (%) against round, mean of 3 seeds with 95% intervals. "
        "FedAvg: from 60 at 1 to 82 ± 5 at 2. SGD: from 40 at 1 to 90 at 2. Highest at its end: SGD."
    )


def test_the_summary_can_be_had_without_the_figure() -> None:
    assert plots.describe_curves(ONE_SEED) == plots.curves(ONE_SEED).summary


def test_a_target_is_marked_and_the_summary_says_who_reaches_it_and_when() -> None:
    summary = plots.curves({"FedAvg": THREE_SEEDS, "SGD": ONE_SEED}, target=85).summary
    assert "to 82 ± 5 at 2. It does not reach 85." in summary
    assert "to 90 at 2. It reaches 85 at 2." in summary


def test_a_list_of_runs_is_labelled_by_the_names_of_the_plans() -> None:
    assert list(drawn(plots.curves([*THREE_SEEDS, *ONE_SEED]))) == ["FedAvg", "SGD"]


def test_bytes_add_up_what_went_up_and_down_and_what_was_moved() -> None:
    assert drawn(plots.curves(ONE_SEED, x="bytes"))["SGD"][0] == pytest.approx([3.5, 6.5])
    assert drawn(plots.curves(ONE_SEED, x="bytes_up"))["SGD"][0] == pytest.approx([1, 2])


def test_where_seeds_differ_in_time_the_mean_time_is_used() -> None:
    runs = [a_run("SGD", [0.4, 0.9], seconds=1), a_run("SGD", [0.4, 0.9], seconds=3)]
    assert drawn(plots.curves(runs, x="seconds"))["SGD"][0] == pytest.approx([2, 4])


def test_a_run_that_stopped_early_ends_the_mean() -> None:
    assert drawn(plots.curves([a_run("SGD", [0.5]), a_run("SGD", [0.7, 0.9])]))["SGD"] == ([1], pytest.approx([60]))


def test_curves_take_real_runs() -> None:
    train, test = data.load("digits")
    owners = data.partitions.iid(train.y, clients=2, seed=0)
    plan = plans.fedavg(rounds=2, participation=1.0, epochs=1)
    runs = {"FedAvg": [rounds.fit(models.logistic(), train, owners, plan, test=test, seed=seed) for seed in (0, 1)]}
    lines = drawn(plots.curves(runs, x="bytes"))
    assert lines["FedAvg"][1][-1] == pytest.approx(50 * (runs["FedAvg"][0].accuracy + runs["FedAvg"][1].accuracy))


def test_a_study_is_drawn_plan_by_plan() -> None:
    runs = {"FedAvg": THREE_SEEDS, "SGD": ONE_SEED}
    records = {
        (plan, seed): {"history": run.history.to_dict("list")}
        for plan, some in runs.items()
        for seed, run in enumerate(some)
    }
    assert drawn(plots.curves(study.Study(records))) == drawn(plots.curves(runs))


def test_no_band_leaves_what_an_accuracy_can_be() -> None:
    [axes] = plots.curves([a_run("SCAFFOLD", [0.5, 0.1]), a_run("SCAFFOLD", [0.5, 0.99])]).figure.axes
    assert axes.get_ylim() == (0, 100)


def test_an_unknown_column_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'epochs' is no column of a history; choose from: round, accuracy"):
        plots.curves(ONE_SEED, x="epochs")


@pytest.mark.parametrize("runs", [{}, [], {"FedAvg": []}])
def test_a_label_without_runs_is_refused(runs: Any) -> None:
    with pytest.raises(ValueError, match="every label needs at least one run"):
        plots.curves(runs)


def test_bars_have_the_interval_over_seeds_and_say_so() -> None:
    values: Any = {"FL": [80.0, 82.0, 84.0], "DML": learning.interval([90.0, 91.0]), "one machine": 92.5}
    picture = plots.bars(values, y="test accuracy (%)", title="Compared", reference=("chance", 10.0))
    assert picture.summary == (
        "Compared. Bars of test accuracy (%): FL 82.0 ± 5.0; DML 90.5 ± 6.4; one machine 92.5. ± is half a 95% interval. "
        "Highest: one machine. Lowest: FL. A line marks chance at 10."
    )
    [axes] = picture.figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([82, 90.5, 92.5])  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["FL", "DML", "one machine"]


def test_one_seed_has_no_interval() -> None:
    assert plots.bars({"FL": [80.0]}, y="points").summary == "Bars of points: FL 80."


def test_a_bar_chart_without_bars_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one bar"):
        plots.bars({}, y="points")


def test_neighbouring_lines_differ_in_marker_and_dashes_as_well_as_in_colour() -> None:
    looks = [plots.line(index) for index in range(4)]
    for one, other in combinations(looks, 2):
        assert all(one[part] != other[part] for part in ("color", "marker", "linestyle"))
    assert len({tuple(plots.line(index).values()) for index in range(28)}) == 28


def test_colours_have_enough_contrast_with_white_to_be_seen() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in plots.COLOURS)


def test_an_image_carries_its_summary_as_alternative_text() -> None:
    made, _ = plots.figure("Title", x="x", y="y")
    bundle = plots.Picture(made, 'Says "less" < more')._repr_mimebundle_()
    assert bundle["text/plain"] == 'Says "less" < more'
    assert 'alt="Says &quot;less&quot; &lt; more"' in bundle["text/html"]
    assert re.search(r'src="data:image/png;base64,iVBOR', bundle["text/html"])


def test_the_same_figure_is_the_same_image() -> None:
    first, second = (plots.curves(ONE_SEED).png() for _ in range(2))
    assert first == second


def test_outside_a_notebook_the_summary_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    made, _ = plots.figure()
    plots.show(made, alt="Nothing yet.")
    assert capsys.readouterr().out == "Nothing yet.\n"


def test_a_picture_without_words_is_refused() -> None:
    made, _ = plots.figure()
    with pytest.raises(ValueError, match="say in words what it shows"):
        plots.show(made, alt=" ")
    with pytest.raises(ValueError, match="say in words what it shows"):
        plots.picture(made)


def test_a_bare_figure_is_summed_up_by_its_titles_and_labels() -> None:
    made, _ = plots.figure("Growth", x="day", y="height")
    assert plots.picture(made).summary == "Growth. height against day"
    picture = plots.Picture(made, "words")
    assert plots.picture(picture) is picture
    assert plots.picture((made, "other words")).summary == "other words"


def test_a_fit_is_solid_where_it_was_measured_and_dashed_beyond_with_its_band() -> None:
    points = {1.0: [1.0, 1.1], 2.0: [1.9, 2.1], 4.0: [4.2]}
    shown = plots.fitted(
        points, lambda n: learning.Interval(n, 0.9 * n, 1.1 * n, 5), "workers", "times", "Faster", upto=16
    )
    [axes] = shown.figure.axes
    lines = {str(line.get_label()): line for line in axes.lines}
    places = {label: np.asarray(line.get_xdata(), dtype=float).tolist() for label, line in lines.items()}
    assert lines["fitted"].get_linestyle() == "-" and max(places["fitted"]) <= 4
    assert lines["extrapolated"].get_linestyle() == "--" and max(places["extrapolated"]) == 16
    assert places["measured"] == [1, 1, 2, 2, 4]
    assert len(axes.collections) == 2 and "Extrapolated to 16: 16 ± 1.6" in shown.summary
    with pytest.raises(ValueError, match="at least one measured point"):
        plots.fitted({}, lambda n: learning.Interval(n, n, n, 1), "x", "y")
