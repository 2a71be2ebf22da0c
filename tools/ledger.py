"""The ledger of all statements on trial, written from the verdict cards that the notebooks store.

    python -m tools.ledger            write it into the README, docs/ledger.md and beside the stored studies
    python -m tools.ledger --check    say whether they are in step, without writing

What stands in the ledger is read off the cards and never typed; the commands that measure it again are read off the lessons.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import nbformat

from course_lib.study.claims import STORED, Claim
from tools.commands import commands
from tools.ledger_text import PAGE, page, scoreboard

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = (
    "<!-- ledger: written by `make ledger` from the notebooks' verdicts -->",
    "<!-- end of ledger -->",
)
_CARD = re.compile(
    r"\A\S Statement (?P<number>\d+)\. [^\n]*\n"
    r"(?:Compared: (?P<compared>[^\n]*)\n)?"
    r"Measured:\s(?P<measured>.*)\nVerdict: (?P<verdict>[^\n]*)\.\Z",
    re.DOTALL,
)


def collect(root: Path) -> list[Claim]:
    """Return every verdict that the notebooks store, in the order of statements and lessons."""
    claims = []
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        again = commands([cell.source for cell in cells], path.stem, root)
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        cards = [_CARD.match(str(output.get("data", {}).get("text/plain", ""))) for output in outputs]
        claims += [
            Claim(
                number := int(card["number"]),
                path.stem,
                card["verdict"],
                card["measured"].strip(),
                card["compared"] or "",
                again[number].pop(0),
            )
            for card in cards
            if card
        ]
    return sorted(claims, key=lambda claim: (claim.statement, claim.lesson))


def written(root: Path) -> dict[Path, str]:
    """Return what the files that show the ledger should hold. Raises ValueError for a README without a place for it."""
    claims, readme = collect(root), root / "README.md"
    return {
        readme: _with_table(readme.read_text(encoding="utf-8"), scoreboard(claims)),
        root / PAGE: page(claims),
        root / "course_lib" / STORED: json.dumps([vars(claim) for claim in claims], indent=1, ensure_ascii=False)
        + "\n",
    }


def in_step(root: Path) -> list[str]:
    """Return which files are out of step with the notebooks."""
    return [
        str(path.relative_to(root)) for path, text in written(root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Write the ledger, or check it; return 0 when it is in step."""
    parser = argparse.ArgumentParser(prog="python -m tools.ledger", description="Write the ledger.")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is out of step")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder that holds notebooks/ and README.md")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        for path, text in written(chosen.root).items():
            path.write_text(text, encoding="utf-8")
    problems = in_step(chosen.root)
    for problem in problems:
        print(f"{problem} is out of step with the notebooks' verdicts: run `make ledger`", file=sys.stderr)
    return 1 if problems else 0


def _with_table(readme: str, table: str) -> str:
    start, end = readme.find(BEGIN), readme.find(END)
    if not 0 <= start < end:
        raise ValueError(f"README.md needs the lines {BEGIN} and {END}, in this order: the table goes between them")
    return f"{readme[:start]}{BEGIN}\n\n{table}\n\n{readme[end:]}"


if __name__ == "__main__":
    sys.exit(main())
