"""Tables line up, say their units, what ± and the marks mean, and have a text twin that reads the same."""

import re
from html.parser import HTMLParser
from math import nan
from typing import Any

import pandas as pd
import pytest

from course_lib import classroom, learning
from course_lib.classroom import cards

SEEDS = [0.91, 0.92, 0.93, 0.92, 0.92]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a notebook would be shown: bundles of text twin and others."""
    bundles: list[dict[str, Any]] = []
    monkeypatch.setattr(
        cards, "show", lambda text, html=None, **others: bundles.append({"text": text, "html": html, **others})
    )
    return bundles


class Grid(HTMLParser):
    """The cells of an HTML table, row by row, as (text, alignment, columns)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, str, int]]] = []
        self._open: tuple[str, int] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            side = re.search(r"text-align: (\w+)", given.get("style") or "")
            self._open = side[1] if side else "", int(given.get("colspan") or 1)
            self.rows[-1].append(("", *self._open))

    def handle_data(self, data: str) -> None:
        if self._open:
            self.rows[-1][-1] = (data, *self._open)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td"):
            self._open = None


def test_numbers_line_up_under_their_headers_in_the_text_twin(shown: list[dict[str, Any]]) -> None:
    classroom.table(
        {"one machine": {"bytes": 12_582_912, "who": "nobody"}, "DML": {"bytes": 8, "who": "all of them"}}, "Sent"
    )
    assert shown[0]["text"].split("\n") == [
        "Sent",
        "                  bytes  who",
        "one machine  12,582,912  nobody",
        "DML                   8  all of them",
    ]


def test_numbers_are_right_aligned_and_words_left_under_their_headers(shown: list[dict[str, Any]]) -> None:
    classroom.table({"DML": {"MB": 1234.56, "who": "all"}, "FL": {"MB": None, "who": "some"}})
    head, first, second = Grid(shown[0]["html"]).rows
    assert head[1:] == [("MB", "right", 1), ("who", "left", 1)]
    assert first == [("DML", "left", 1), ("1,234.6", "right", 1), ("all", "left", 1)]
    assert second[1][0] == "–"


def test_values_by_seed_become_an_interval_and_the_note_says_what_it_is(shown: list[dict[str, Any]]) -> None:
    expected = learning.interval([100 * value for value in SEEDS])
    classroom.table({"FL": {"accuracy (%)": SEEDS}}, spec=".1%")
    assert f"{expected:.1f}" in shown[0]["text"]
    assert "± is half a 95% interval over 5 seeds." in shown[0]["text"] and "± is half" in shown[0]["html"]


def test_runs_that_broke_are_counted_and_never_averaged(shown: list[dict[str, Any]]) -> None:
    classroom.table({"FL": {"accuracy (%)": [90.0, nan, 92.0], "loss": [nan, nan]}})
    expected = learning.interval([90.0, 92.0])
    assert f"1 of 3 broke, the others {expected:.1f}" in shown[0]["text"]
    assert "all broke" in shown[0]["text"]


def test_a_percentage_needs_its_unit_in_the_header() -> None:
    with pytest.raises(ValueError, match=r"column 'accuracy' shows percentages: write \(%\) into its header"):
        classroom.table({"FL": {"accuracy": 0.9}}, spec={"accuracy": ".1%"})


def test_groups_stand_over_their_columns_and_their_rows(shown: list[dict[str, Any]]) -> None:
    classroom.table(
        {
            ("alike", "FedAvg"): {("ours", "rounds"): 20, ("ours", "MB"): 3, ("paper", "rounds"): 87},
            ("skewed", "FedAvg"): {("ours", "rounds"): 60, ("ours", "MB"): 9, ("paper", "rounds"): 664},
        }
    )
    over, heads, group, row, *_ = Grid(shown[0]["html"]).rows
    assert over[1:] == [("ours", "center", 2), ("paper", "center", 1)]
    assert [text for text, _, _ in heads[1:]] == ["rounds", "MB", "rounds"]
    assert group == [("alike", "left", 4)] and row[0][0] == "FedAvg"
    assert shown[0]["text"].split("\n")[:4] == [
        "            ours       paper",
        "          rounds  MB  rounds",
        "alike",
        "  FedAvg      20   3      87",
    ]


def test_findings_are_marked_and_their_correction_is_said(shown: list[dict[str, Any]]) -> None:
    better = [value + 0.03 for value in SEEDS]
    unclear = [0.92, 0.9, 0.95, 0.93, 0.91]
    findings = {
        "FedProx": learning.compare(better, SEEDS, "better"),
        "FedNova": learning.compare(unclear, SEEDS, "better"),
        "SCAFFOLD": learning.compare(SEEDS, [value + 0.05 for value in SEEDS], "better"),
    }
    with pytest.raises(ValueError, match=r"3 findings side by side: pass them through learning\.holm first"):
        classroom.table({name: {"points ahead": found} for name, found in findings.items()})
    classroom.table({name: {"points ahead": found} for name, found in learning.holm(findings).items()})
    text = shown[0]["text"]
    assert re.search(r"FedProx +\+3\.0 ± 0\.0 ✓", text)
    assert re.search(r"FedNova +\+0\.2 ± \d\.\d \?", text)
    assert re.search(r"SCAFFOLD +-5\.0 ± 0\.0 ✗", text)
    assert "an interval with Holm's correction for 3 comparisons, over 5 seeds; the claim: better." in text
    assert "✓ holds, ✗ does not hold here, ? cannot tell." in text


def test_a_data_frame_is_a_table_too(shown: list[dict[str, Any]]) -> None:
    classroom.table(pd.DataFrame({"messages": [3, 4000]}, index=["model", "update"]))
    assert shown[0]["text"] == "        messages\nmodel          3\nupdate     4,000"


def test_what_a_cell_says_is_not_taken_for_html(shown: list[dict[str, Any]]) -> None:
    classroom.table({"a < b": {"c & d": "<b>"}})
    assert "&lt;b&gt;" in shown[0]["html"] and "a &lt; b" in shown[0]["html"] and "c &amp; d" in shown[0]["html"]


def test_a_table_without_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row with one cell"):
        classroom.table({})


def test_a_computed_sentence_is_markdown_with_a_plain_twin(shown: list[dict[str, Any]]) -> None:
    classroom.say(f"FL sent **{16.3:.1f} MB**.")
    assert shown == [{"text": "FL sent 16.3 MB.", "html": None, "text/markdown": "FL sent **16.3 MB**."}]


def test_what_was_repeated_is_said_where_it_was_not_the_seed(shown: list[dict[str, Any]]) -> None:
    classroom.table({"in step": {"seconds": [1.5, 1.6, 1.5]}}, over="repeats")
    assert "over 3 repeats." in shown[0]["text"] and "seeds" not in shown[0]["text"]
