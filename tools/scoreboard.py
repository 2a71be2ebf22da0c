"""The scoreboard of all statements on trial, written from the verdict cards that the notebooks store.

    python -m tools.scoreboard            write it into the README and beside the stored studies
    python -m tools.scoreboard --check    say whether both are in step, without writing

What stands on the scoreboard is read off the cards and never typed.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import nbformat

from course_lib.classroom.scoreboard import STORED, Row, as_rows

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = (
    "<!-- scoreboard: written by `make scoreboard` from the notebooks' verdicts -->",
    "<!-- end of scoreboard -->",
)
_CARD = re.compile(
    r"\A\S Statement (?P<number>\d+)\. [^\n]*\n"
    r"(?:Compared: (?P<compared>[^\n]*)\n)?"
    r"Measured:\s(?P<measured>.*)\nVerdict: (?P<verdict>[^\n]*)\.\Z",
    re.DOTALL,
)


def collect(root: Path) -> list[Row]:
    """Return every verdict that the notebooks store, in the order of statements and lessons."""
    rows = []
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        cards = [_CARD.match(str(output.get("data", {}).get("text/plain", ""))) for output in outputs]
        rows += [
            Row(int(card["number"]), path.stem, card["verdict"], card["measured"].strip(), card["compared"] or "")
            for card in cards
            if card
        ]
    return sorted(rows, key=lambda row: (row.statement, row.notebook))


def as_markdown(rows: list[Row]) -> str:
    """Return the README's table: a line for each verdict, and one for each statement that has none."""
    lines = ["| | statement | lesson | verdict | measured |", "|---|---|---|---|---|"]
    for number, text, tried in as_rows(rows):
        for position, row in enumerate(tried):
            first = [str(number), text] if not position else ["", ""]
            link = f"[{row.notebook[:2]}](notebooks/{row.notebook}.ipynb)"
            lines.append(f"| {' | '.join([*first, link, row.verdict, _cell(row)])} |")
        if not tried:
            lines.append(f"| {number} | {text} | | *not tried yet* | |")
    return "\n".join(lines)


def in_step(root: Path) -> list[str]:
    """Return what is out of step with the notebooks: the README, or the stored scoreboard."""
    rows, readme = collect(root), (root / "README.md").read_text(encoding="utf-8")
    problems = [] if _with_table(readme, rows) == readme else ["README.md"]
    stored = root / "course_lib/classroom" / STORED
    if not stored.exists() or stored.read_text(encoding="utf-8") != _as_json(rows):
        problems.append(str(stored.relative_to(root)))
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Write the scoreboard, or check it; return 0 when it is in step."""
    parser = argparse.ArgumentParser(prog="python -m tools.scoreboard", description="Write the scoreboard.")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is out of step")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder that holds notebooks/ and README.md")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        rows, readme = collect(chosen.root), chosen.root / "README.md"
        readme.write_text(_with_table(readme.read_text(encoding="utf-8"), rows), encoding="utf-8")
        (chosen.root / "course_lib/classroom" / STORED).write_text(_as_json(rows), encoding="utf-8")
    problems = in_step(chosen.root)
    for problem in problems:
        print(f"{problem} is out of step with the notebooks' verdicts: run `make scoreboard`", file=sys.stderr)
    return 1 if problems else 0


def _cell(row: Row) -> str:
    lines = [line.removeprefix("- ") for line in row.measured.split("\n")]
    return "<br>".join(filter(None, [row.compared, *lines])).replace("|", "\\|")


def _with_table(readme: str, rows: list[Row]) -> str:
    start, end = readme.find(BEGIN), readme.find(END)
    if not 0 <= start < end:
        raise ValueError(f"README.md needs the lines {BEGIN} and {END}, in this order: the table goes between them")
    return f"{readme[:start]}{BEGIN}\n\n{as_markdown(rows)}\n\n{readme[end:]}"


def _as_json(rows: list[Row]) -> str:
    return json.dumps([vars(row) for row in rows], indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
