"""Charts of what was measured: groups told apart by more than colour, every run shown or counted, axes that stay put."""

from math import nan
from typing import Any

import pytest

from course_lib import learning
from course_lib.classroom import plots
from course_lib.classroom.estimates import estimate
from course_lib.classroom.plots import style
from tests.classroom.test_plots import a_run

SKEWS: Any = {
    "IID": {"shared": [93.0, 94.0, 95.0], "alone": [80.0, 81.0, 82.0]},
    "two shards": {"shared": [80.0, nan, 60.0], "alone": [95.0, 95.5, 96.0]},
}


@pytest.fixture(autouse=True)
def _unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "_NAMED", {})


def looks_of_bars(picture: plots.Picture) -> list[tuple[Any, Any]]:
    return [(bar.get_facecolor(), bar.get_hatch()) for bar in picture.figure.axes[0].patches]


def legend(picture: plots.Picture) -> list[str]:
    [shown] = picture.figure.legends
    return [text.get_text() for text in shown.get_texts()]


def test_in_grouped_bars_a_name_looks_the_same_in_every_group_and_the_groups_label_the_axis() -> None:
    picture = plots.bars(SKEWS, "accuracy (%)")
    first, second, third, fourth = looks_of_bars(picture)
    assert first == third and second == fourth and first[0] != second[0] and first[1] != second[1]
    assert legend(picture) == ["shared", "alone"]
    assert [label.get_text() for label in picture.figure.axes[0].get_yticklabels()] == ["IID", "two shards"]
    assert "IID: shared 94.0 ± 2.5; alone 81.0 ± 2.5; two shards: shared 1 of 3 broke" in picture.summary


@pytest.mark.parametrize("chart", [plots.bars, plots.intervals])
def test_runs_that_broke_are_counted_beside_their_row_and_not_averaged(chart: Any) -> None:
    picture = chart({"SCAFFOLD": [90.0, nan, 92.0, nan], "lost": [nan, nan]}, "accuracy (%)")
    remarks = [text.get_text().strip() for text in picture.figure.axes[0].texts]
    assert remarks == ["2 of 4 broke", "all broke"]
    assert "SCAFFOLD 2 of 4 broke, the others 91 ± 13; lost all broke" in picture.summary


def test_no_interval_goes_beyond_what_is_possible() -> None:
    [axes] = plots.intervals({"FL": [99.0, 90.0]}, "accuracy (%)", within=(0, 100)).figure.axes
    bar: Any = axes.collections[0]
    [line] = [line for line in bar.get_segments() if len(line)]
    assert line[:, 0].max() == 100
    assert estimate([99.0, 90.0], (0, 100)).high == 100
    assert estimate(learning.interval([99.0, 90.0]), (0, 100)).high == 100
    assert estimate(learning.interval([1.0, 10.0]), (0, 100)).low == 0


def test_named_looks_stay_the_same_from_figure_to_figure() -> None:
    plots.name_colours("one machine", "distributed", "federated")
    [alone] = looks_of_bars(plots.bars({"federated": 1.0}, "MB"))
    both = looks_of_bars(plots.bars({"something else": 3.0, "federated": 1.0}, "MB"))
    assert both[1] == alone and both[0] != alone
    [line] = plots.curves({"federated": a_run("x", [0.5, 0.6])}).figure.axes[0].lines
    assert line.get_color() == style.COLOURS[2]
    with pytest.raises(ValueError, match="8 names for 7 colours"):
        plots.name_colours(*"abcdefgh")


ONE_AND_MORE: Any = {"a": 1.0, "b": [2.0, 3.0]}


@pytest.mark.parametrize(
    "draw",
    [
        lambda limits: plots.bars(ONE_AND_MORE, "points", limits=limits).figure.axes[0].get_xlim(),
        lambda limits: plots.intervals(ONE_AND_MORE, "points", limits=limits).figure.axes[0].get_xlim(),
        lambda limits: plots.stacked({"a": {"x": 1.0}}, "share", limits=limits).figure.axes[0].get_xlim(),
        lambda limits: plots.lines({"a": {1: 2.0}}, "x", "y", limits=limits).figure.axes[0].get_ylim(),
        lambda limits: plots.lines({"a": {1: 2.0}}, "x", "y", xlimits=limits).figure.axes[0].get_xlim(),
        lambda limits: plots.scatter({"a": [(1, 2)]}, "x", "y", limits=limits).figure.axes[0].get_ylim(),
        lambda limits: plots.curves([a_run("x", [0.5, 0.6])], limits=limits).figure.axes[0].get_ylim(),
        lambda limits: plots.pairs({"a": [1.0], "b": [2.0]}, "y", limits=limits).figure.axes[0].get_ylim(),
    ],
)
def test_the_axes_of_an_explorer_can_be_made_to_stay_put(draw: Any) -> None:
    assert draw((0, 50)) == (0, 50)


def test_intervals_show_every_run_behind_the_mean() -> None:
    [axes] = plots.intervals({"one test set": [88.0, 89.0, 90.0]}, "accuracy (%)").figure.axes
    assert [89.0] in [line.get_xdata().tolist() for line in axes.lines if hasattr(line.get_xdata(), "tolist")]  # type: ignore[union-attr]
    assert (88.0, 89.0, 90.0) in [tuple(line.get_xdata()) for line in axes.lines]  # type: ignore[arg-type]


def test_findings_are_drawn_with_their_outcome_the_margin_and_what_corrected_them() -> None:
    base = [0.9, 0.91, 0.9, 0.92, 0.9]
    found = {
        "up": learning.compare([value + 0.03 for value in base], base, "better"),
        "unclear": learning.compare([0.9, 0.93, 0.89, 0.93, 0.88], base, "better"),
    }
    with pytest.raises(ValueError, match="2 findings side by side"):
        plots.intervals(found, "points ahead")
    picture = plots.intervals(learning.holm(found), "points ahead", margin=1)
    assert [text.get_text().strip() for text in picture.figure.axes[0].texts] == ["✓ holds", "? cannot tell"]
    assert "up 3 ✓; unclear" in picture.summary or "up 3.0" in picture.summary
    assert "Holm's correction for 2 comparisons" in picture.summary
    assert legend(picture) == ["within 1", "no difference"]


def test_pairs_join_the_runs_of_a_seed_and_count_how_many_rise() -> None:
    picture = plots.pairs({"0.05": [87.0, 88.0, 86.0], "0.1": [88.0, 87.0, 87.0]}, "accuracy (%)")
    lines = picture.figure.axes[0].lines
    assert [(list(line.get_ydata()), line.get_linestyle()) for line in lines] == [  # type: ignore[arg-type]
        ([87.0, 88.0], "-"), ([88.0, 87.0], "--"), ([86.0, 87.0], "-"),
    ]  # fmt: skip
    assert "from 0.05 to 0.1 2 of 3 rise" in picture.summary
    with pytest.raises(ValueError, match="two labels with as many seeds each"):
        plots.pairs({"a": [1.0, 2.0], "b": [1.0]}, "y")


def test_lines_have_an_interval_at_each_point_and_say_what_is_where() -> None:
    grown: Any = {"scaled": {1: [90.0, 91.0], 32: [80.0, 90.0]}, "free": {1: 1.0, 32: 2.0}}
    picture = plots.lines(
        grown, "workers", "accuracy (%)", "Five passes", "x", within=(0, 100), reference=("chance", 10)
    )
    assert picture.summary == (
        "Five passes. Lines of accuracy (%) against workers. scaled: 90.5 ± 6.4 at 1, 85 (21 to 100) at 32. "
        "free: 1 at 1, 2 at 32. ± is half a 95% interval. A line marks chance at 10."
    )
    [axes] = picture.figure.axes
    assert axes.get_xscale() == "log" and [label.get_text() for label in axes.get_xticklabels()] == ["1", "32"]
    with pytest.raises(ValueError, match="at least one point"):
        plots.lines({"a": {}}, "x", "y")


def test_points_that_lie_close_together_do_not_write_their_labels_over_each_other() -> None:
    drawn = plots.lines({"one": {600: 1.0, 4776: 2.0, 5400: 3.0}}, "bytes", "accuracy", log="x").figure.axes[0]
    assert 4776 not in drawn.get_xticks() and 1000 in drawn.get_xticks()


def test_a_long_line_is_summed_up_by_its_ends() -> None:
    summary = plots.lines({"MB": {float(at): at * 2.0 for at in range(1, 2001)}}, "examples", "MB").summary
    assert summary == "Lines of MB against examples. MB: 2 at 1, 4,000 at 2,000."


def test_a_cloud_of_points_counts_those_below_its_line() -> None:
    summary = plots.scatter({"alone": [(10, -1.0), (20, 3.0)]}, "images", "gain (points)", line_at=0).summary
    assert summary == "Points of gain (points) against images. alone: 2 points from -1 to 3, mean 1, 1 below 0."
    with pytest.raises(ValueError, match="at least one point"):
        plots.scatter({}, "x", "y")


def test_stacked_bars_add_their_parts_up() -> None:
    picture = plots.stacked({"two": {"computing": 30.0, "talking": 70.0}}, "share (%)", "A step")
    assert [(bar.get_x(), bar.get_width()) for bar in picture.figure.axes[0].patches] == [(0, 30), (30, 70)]  # type: ignore[attr-defined]
    assert picture.summary == "A step. Bars of share (%), by part. two: computing 30, talking 70."


def test_a_curve_of_which_some_runs_broke_says_how_many() -> None:
    picture = plots.curves({"SCAFFOLD": [a_run("x", [0.5, 0.6]), a_run("x", [0.5, nan]), a_run("x", [0.5, 0.7])]})
    assert "SCAFFOLD (1 of 3 broke)" in [str(line.get_label()) for line in picture.figure.axes[0].lines]
    assert "1 of 3 broke." in picture.summary


def test_shares_can_be_shown_in_per_cent_and_findings_keep_their_unit() -> None:
    shares: Any = {"FL": [0.91, 0.92, 0.93], "all": learning.interval([0.99, 0.9])}
    picture = plots.intervals(shares, "accuracy (%)", percent=True, within=(0, 100))
    assert "FL 92.0 ± 2.5; all 94 (37 to 100)" in picture.summary
    assert plots.bars(shares, "accuracy (%)", percent=True).figure.axes[0].patches[0].get_width() == pytest.approx(92)  # type: ignore[attr-defined]
    assert "FL: 92.0 ± 2.5 at 1" in plots.lines({"FL": {1: shares["FL"]}}, "x", "accuracy (%)", percent=True).summary
    found = learning.compare([0.91, 0.92, 0.93, 0.92, 0.91], [0.9] * 5, "better")
    assert "FL 1.8 ± 1.0 ✓" in plots.intervals({"FL": found}, "points", percent=True).summary


def test_equal_numbers_have_no_interval_although_their_mean_is_rounded() -> None:
    same = estimate([2 / 3] * 6 + [0.1 + 0.2 + 1 / 3 + 1 / 30])  # 0.6666666666666667 and a rounding error beside it
    assert not same.spreads and same.words(".1f") == "0.7"
    assert estimate([95.036958817317824] * 5).words() == "95"
