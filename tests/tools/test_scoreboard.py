"""The scoreboard says what the notebooks' verdicts say; nbval sees the verdicts and not the numbers."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from course_lib import classroom, learning
from course_lib.classroom.scoreboard import STORED
from course_lib.classroom.statements import STATEMENTS
from tools import scoreboard

ROOT = Path(__file__).resolve().parent.parent.parent
HIGH, LOW = [0.95, 0.94, 0.96, 0.95, 0.95], [0.90, 0.91, 0.90, 0.89, 0.90]


def card(a: list[float], b: list[float], capsys: pytest.CaptureFixture[str], number: int = 13) -> str:
    classroom.verdict(number, {"ten passes": learning.compare(a, b, "no worse")}, "FL against one machine")
    return capsys.readouterr().out.rstrip("\n")


def card_of_two(a: list[float], b: list[float], capsys: pytest.CaptureFixture[str]) -> str:
    found = {
        "5 passes, IID": learning.compare(a, b, "no worse"),
        "5 passes, shards": learning.compare(b, a, "no worse"),
    }
    classroom.verdict(13, found, "FL against one machine")
    return capsys.readouterr().out.rstrip("\n")


def masked(text: str) -> str:
    for pattern, replacement in get_sanitize_patterns((ROOT / "tests/nbval_masks.cfg").read_text(encoding="utf-8")):
        text = re.sub(pattern, replacement, text)
    return text


def test_under_nbvals_mask_numbers_may_differ_and_verdicts_may_not(capsys: pytest.CaptureFixture[str]) -> None:
    shifted = [value + 0.002 * position for position, value in enumerate(HIGH)]
    holds, other = card(HIGH, LOW, capsys), card(shifted, LOW, capsys)
    assert holds != other
    assert masked(holds) == masked(other)
    assert masked(card(LOW, HIGH, capsys)) != masked(holds)
    assert masked(card([0.95, 0.2, 0.3, 0.4, 0.95], LOW, capsys)) != masked(holds)


def test_under_nbvals_mask_the_same_holds_of_several_settings(capsys: pytest.CaptureFixture[str]) -> None:
    shifted = [value + 0.002 * position for position, value in enumerate(HIGH)]
    holds, other = card_of_two(HIGH, LOW, capsys), card_of_two(shifted, LOW, capsys)
    assert holds != other
    assert masked(holds) == masked(other)
    assert masked(card_of_two(LOW, HIGH, capsys)) != masked(holds)
    assert masked(card_of_two([0.95, 0.2, 0.3, 0.4, 0.95], LOW, capsys)) != masked(holds)
    assert "Corrected for 2 comparisons (Holm): intervals of " in masked(holds)


def project(folder: Path, *outputs: str) -> Path:
    (folder / "notebooks").mkdir()
    (folder / "course_lib/classroom/studies").mkdir(parents=True)
    shown = [nbformat.v4.new_output("display_data", {"text/plain": text}) for text in outputs]
    cells = [nbformat.v4.new_code_cell("classroom.verdict(...)", outputs=[output]) for output in shown]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks/00_two_ways.ipynb")
    (folder / "README.md").write_text(f"before\n{scoreboard.BEGIN}\n{scoreboard.END}\nafter\n")
    return folder


def test_every_statement_has_its_line_with_what_the_card_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(tmp_path, card(LOW, HIGH, capsys), "another output", card(HIGH, LOW, capsys, number=2))
    assert scoreboard.in_step(root) == ["README.md", f"course_lib/classroom/{STORED}"]
    assert scoreboard.main(["--root", str(root)]) == 0
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert (
        f"| 13 | {STATEMENTS[13]} | [00](notebooks/00_two_ways.ipynb) | does not hold here | "
        "FL against one machine.<br>ten passes. Does not hold here: -5.0 ± 1.5 points (no worse, margin 1; 5 seeds) |"
    ) in readme
    assert readme.count("*not tried yet*") == len(STATEMENTS) - 2
    rows = json.loads((root / "course_lib/classroom" / STORED).read_text(encoding="utf-8"))
    assert [(row["statement"], row["verdict"]) for row in rows] == [(2, "holds"), (13, "does not hold here")]
    assert scoreboard.main(["--check", "--root", str(root)]) == 0


def test_settings_with_commas_stay_apart_in_the_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = project(tmp_path, card_of_two(HIGH, LOW, capsys))
    assert scoreboard.main(["--root", str(root)]) == 0
    (line,) = [line for line in (root / "README.md").read_text().splitlines() if line.startswith("| 13 |")]
    *_, verdict, measured, _ = line.split("|")
    assert verdict == " holds if: 5 passes, IID. Does not hold here: 5 passes, shards "
    assert measured.split("<br>")[1].startswith("5 passes, IID. Holds: +5.0 ")
    assert measured.split("<br>")[3] == "Corrected for 2 comparisons (Holm): intervals of 95% to 97.5%. "


def test_a_readme_without_a_place_for_the_table_is_named(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"README\.md needs the lines"):
        scoreboard.main(["--root", str(root)])


def test_the_projects_own_scoreboard_is_in_step() -> None:
    assert scoreboard.in_step(ROOT) == []


def test_a_notebook_shows_all_statements(capsys: pytest.CaptureFixture[str]) -> None:
    classroom.scoreboard()
    shown = capsys.readouterr().out
    assert all(text in shown for text in STATEMENTS.values())
