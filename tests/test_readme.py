"""The README says what is true: its commands exist, its lessons and picture are those of the course."""

import re
import subprocess
from pathlib import Path

import pytest

from tools import picture

ROOT = Path(__file__).resolve().parent.parent
LESSON_00 = next((ROOT / "lessons").glob("00_*.md")).stem
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_file_that_it_links_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_binder_and_colab_open_lesson_00_without_results() -> None:
    opened = re.findall(r"(?:urlpath=lab/tree|/blob/main)/([^)]+)\)", README)
    assert opened == [f"learn/{LESSON_00}.ipynb"] * 2
    assert (ROOT / opened[0]).exists()


def test_its_table_lists_the_lessons_with_their_titles() -> None:
    listed = re.findall(r"^\| \d\d \| \[(.+?)\]\(notebooks/(.+?)\.ipynb\)", README, re.MULTILINE)
    written = sorted((ROOT / "lessons").glob("[0-9][0-9]_*.md"))
    titles = [re.search(r"^# (.+)$", lesson.read_text(encoding="utf-8"), re.MULTILINE) for lesson in written]
    assert listed == [(title[1], lesson.stem) for title, lesson in zip(titles, written, strict=True) if title]


def test_the_make_targets_that_it_names_exist() -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"lab", "test", "check", "setup", "help"} <= named
    assert named <= set(re.findall(r"make ([a-z-]+)", listed))


@pytest.mark.slow
def test_its_code_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(code.replace("rounds=30", "rounds=1"), names)
    assert names["run"].history["round"].tolist() == [1]  # type: ignore[attr-defined]


def test_its_picture_is_the_one_in_the_notebook_of_lesson_15() -> None:
    (notebook,) = (ROOT / "notebooks").glob("15_*.ipynb")
    image, summary = picture.extract(notebook)
    assert picture.PICTURE.read_bytes() == image
    assert f"![{summary}](docs/{picture.PICTURE.name})" in README


def test_the_torch_that_it_names_is_the_locked_one() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (version,) = re.findall(r"^torch==(\S+)", lock, re.MULTILINE)
    assert set(re.findall(r"torch==([\d.]+)", README)) == {version}
