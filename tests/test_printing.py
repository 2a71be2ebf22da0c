"""What the course prints is readable where standard output knows ASCII alone."""

import os
import subprocess
import sys

import pytest


def printed(program: str) -> str:
    """Return what a program prints in a shell without any language set."""
    surroundings = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        # In ASCII, as a shell without a language may pass nothing else.
        [sys.executable, "-c", f"exec({program!a})"], env=surroundings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_card_keeps_its_meaning_without_its_symbols() -> None:
    said = printed("from course_lib.classroom import cards; cards.show_card('right', '1.2 ± 0.4 points, Zürich')")
    assert said == "+ 1.2 +- 0.4 points, Z?rich\n"


@pytest.mark.slow
def test_what_a_worker_prints_arrives() -> None:
    program = "from course_lib import cluster\nif __name__ == '__main__': cluster.launch(print, '5 → 6', workers=1)"
    assert printed(program) == "[rank 0] 5 -> 6\n"
