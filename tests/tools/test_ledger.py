"""The ledger says what the notebooks' verdicts say; nbval sees the verdicts and not the numbers."""

import json
import re
from math import nan
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from course_lib import classroom, learning
from course_lib.study.claims import STORED, Claim, complaints, table
from course_lib.study.claims import ledger as ledger_of_the_course
from course_lib.study.statements import STATEMENTS
from tools import ledger
from tools.commands import commands

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
    (folder / "docs").mkdir()
    cells = []
    for text in outputs:
        number = re.search(r"Statement (\d+)", text)
        source = f"classroom.verdict({number[1]}, found)" if number else "another"
        shown = nbformat.v4.new_output("display_data", {"text/plain": text})
        cells.append(nbformat.v4.new_code_cell(source, outputs=[shown]))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks/00_two_ways.ipynb")
    (folder / "README.md").write_text(f"before\n{ledger.BEGIN}\n{ledger.END}\nafter\n")
    return folder


def test_every_statement_has_its_line_with_what_the_card_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(tmp_path, card(LOW, HIGH, capsys), "another output", card(HIGH, LOW, capsys, number=2))
    assert ledger.in_step(root) == ["README.md", "docs/ledger.md", f"course_lib/{STORED}"]
    assert ledger.main(["--root", str(root)]) == 0
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert (
        f"| [13](docs/ledger.md#13) | {STATEMENTS[13]} |  | 1 |  | "
        "Does not hold here: ten passes: -5.0 ± 1.5 points (no worse, margin 1; 5 seeds) | [00](notebooks/00_two_ways.ipynb) |"
    ) in readme
    assert readme.count("*not tried yet*") == len(STATEMENTS) - 2
    rows = json.loads((root / "course_lib" / STORED).read_text(encoding="utf-8"))
    assert [(row["statement"], row["verdict"]) for row in rows] == [(2, "holds"), (13, "does not hold here")]
    assert ledger.main(["--check", "--root", str(root)]) == 0


def test_the_page_has_every_setting_of_a_verdict_its_conditions_and_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(tmp_path, card_of_two(HIGH, LOW, capsys))
    assert ledger.main(["--root", str(root)]) == 0
    shown = (root / "docs/ledger.md").read_text(encoding="utf-8")
    (told,) = [part for part in shown.split("\n## ") if part.startswith("13\n")]
    assert f"**{STATEMENTS[13]}**" in told and "[Lesson 00](../notebooks/00_two_ways.ipynb): " in told
    rows = [line.strip("| ").split(" | ") for line in told.splitlines() if line.startswith("|")][2:]
    assert [row[:2] for row in rows] == [["5 passes, IID", "holds"], ["5 passes, shards", "does not hold here"]]
    assert [row[2].split(" ±")[0] for row in rows] == ["+5.0", "-5.0"]
    assert "Corrected for 2 comparisons (Holm): intervals of 95% to 97.5%. Again: `python -m tools.notebooks" in told
    assert shown.count("*not tried yet*") == len(STATEMENTS) - 1


def test_the_readme_counts_the_settings_and_shows_one_of_either_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(tmp_path, card_of_two(HIGH, LOW, capsys), card(LOW, HIGH, capsys))
    assert ledger.main(["--root", str(root)]) == 0
    (line,) = [line for line in (root / "README.md").read_text().splitlines() if line.startswith("| [13]")]
    *_, holds, fails, unknown, examples, _ = [cell.strip() for cell in line.strip("|").split("|")]
    assert [holds, fails, unknown] == ["1", "2", ""]
    one, other = examples.split("<br>")
    assert one.startswith("Holds: 5 passes, IID: +5.0 ") and other.startswith(
        "Does not hold here: 5 passes, shards: -5.0 "
    )


def test_a_readme_without_a_place_for_the_table_is_named(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"README\.md needs the lines"):
        ledger.main(["--root", str(root)])


def test_the_projects_own_ledger_is_in_step() -> None:
    assert ledger.in_step(ROOT) == []


def test_a_notebook_shows_all_statements(capsys: pytest.CaptureFixture[str]) -> None:
    classroom.ledger()
    shown = capsys.readouterr().out
    assert all(text in shown for text in STATEMENTS.values())


LESSON = [
    'study = classroom.stored("skew")\nrows = {row["strategy"]: row for row in study["rows"]}',
    "def gap(name):\n    return learning.compare(rows[name], base)",
    'run = rounds.fit(model, train, clients, plan)\nfound = {}\nfor seed in range(5):\n    found[seed] = run.accuracy',
    'classroom.verdict(17, gap("FedAvg"))\nclassroom.verdict(2, learning.exact(found[0], True))',
    "rows = [1, 2]\nclassroom.verdict(9, learning.exact(rows[0], True))",
]  # fmt: skip


def test_a_verdicts_command_is_that_of_the_study_it_was_computed_from() -> None:
    skew, own = "python benchmarks/skew.py", "python -m tools.notebooks build 08_any --force"
    assert commands(LESSON, "08_any", ROOT) == {17: [(skew,)], 2: [(own,)], 9: [(own,)]}


def test_a_verdict_on_stored_and_live_runs_needs_both_commands() -> None:
    skew, own = "python benchmarks/skew.py", "python -m tools.notebooks build 08_any --force"
    cells = [*LESSON[:3], 'classroom.verdict(13, {"stored": gap("a"), "live": found})']
    assert commands(cells, "08_any", ROOT) == {13: [(skew, own)]}


def claim(measured: str, statement: int = 2, again: tuple[str, ...] = ("make it",)) -> Claim:
    return Claim(statement, "00_two_ways", "holds", measured, "", again)


@pytest.mark.parametrize(
    ("measured", "value", "low", "high"),
    [
        ("-0.3 ± 0.3 points (no worse, margin 1; 20 seeds)", -0.3, -0.6, 0.0),
        ("1,640 (1,470 to 1,830) times (better; 7 repeats)", 1640, 1470, 1830),
        ("2 of 20 broke, the others +5.0 ± 1.0 points", 2, None, None),
        ("3.39e-06", 3.39e-6, None, None),
    ],
)
def test_the_ledger_reads_number_and_interval_off_a_card(
    measured: str, value: float, low: float | None, high: float | None
) -> None:
    (one,) = claim(measured).estimates
    assert one.value == pytest.approx(value)
    assert [one.low, one.high] == pytest.approx(
        [low if low is not None else nan, high if high is not None else nan], nan_ok=True
    )


def test_a_statement_without_a_measurement_a_number_or_a_command_is_named() -> None:
    whole = tuple(claim("0 messages", number) for number in STATEMENTS)
    assert complaints(whole) == []
    assert complaints(whole[:-1]) == [f"statement 26 was not measured: {STATEMENTS[26]}"]
    assert "holds no number" in complaints((*whole, claim("as everybody knows")))[0]
    assert "no command" in complaints((*whole, claim("3 messages", again=())))[0]


def test_every_statement_of_the_course_was_measured_and_says_how_to_measure_it_again() -> None:
    claims = ledger_of_the_course()
    assert complaints(claims) == []
    for one in claims:
        for command in one.again:
            assert all((ROOT / part).exists() for part in command.split() if part.endswith(".py")), command
            if "--force" in command:
                assert (ROOT / f"lessons/{command.split()[-2]}.md").exists(), command


def test_the_ledger_is_a_table_with_a_row_a_setting() -> None:
    found = table()
    assert set(found["statement"]) == {one.statement for one in ledger_of_the_course()}
    assert found["outcome"].isin(["holds", "does not hold here", "cannot tell"]).all()
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"]) | found["low"].isna()).all()
