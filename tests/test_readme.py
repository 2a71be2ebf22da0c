"""The README says what is true: its commands exist, its lessons and picture are those of the course."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

import pytest

from course_lib import classroom, learning
from course_lib.study import dial
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


def means(*values: float) -> str:
    return "; ".join(f"{100 * value:.1f}" for value in values) + "%"


def test_its_figures_of_the_dial_are_those_of_the_stored_study() -> None:
    table = dial.read(classroom.stored("dial"))
    stops = ("one_machine", "ddp", "fedavg_1", "secure", "example_8")
    assert (
        f"accuracy | {means(*(table.row('images', stop).interval().mean for stop in stops))} | `make study`" in README
    )
    few = ("one_machine", "ddp", "local_sgd", "fedavg_1")
    frugal = [table.row("images", stop).interval("bytes").mean for stop in few]
    assert f"one machine; DDP; local SGD; FedAvg on uneven clients | {means(*frugal)} | the same" in README


def test_its_figures_of_gossip_and_silos_are_those_of_the_stored_study() -> None:
    rows = {(row["part"], row["name"]): row["runs"] for row in classroom.stored("topologies")["rows"]}
    own = [
        mean(run["nodes"] for run in rows["skewed", name]) / 100
        for name in ("server", "torus", "ring", "4 silos", "4 edges")
    ]
    assert f"4 silos; 4 edges: accuracy | {means(*own)} | `python benchmarks/topologies.py`" in README


def test_the_number_of_stops_that_it_names_is_the_studys() -> None:
    stops = {row.stop for row in dial.read(classroom.stored("dial")).rows}
    assert f"learnt at {len(stops)} stops" in README


def test_what_it_tells_first_is_what_the_studies_hold() -> None:
    said = " ".join(README.split())
    table, names = dial.read(classroom.stored("dial")), {"images": "digits", "tabular": "payments", "text": "keyboard"}

    def gains(stop: str, against: str, budget: str, within: Sequence[str] = tuple(names)) -> str:
        found = {names[name]: table.compare(name, stop, against, budget=budget).shown for name in within}
        return ", ".join(f"{words} {over.mean:+.1f} points" for words, over in found.items() if over)

    def costs(stop: str, against: str) -> str:
        lost = table.compare("images", stop, against).shown
        assert lost is not None
        return f"{-lost.mean:.1f}"

    federated = {row.stop for row in table.rows if row.family in ("federated", "travels", "private", "attacked")}
    ahead = {
        (name, stop): one.outcome
        for name in names
        for stop, one in table.differences(name, claim="better").items()
        if stop in federated
    }
    assert len(ahead) > 20 and "holds" not in ahead.values()
    for rival, words in (("ddp", "over DDP"), ("local_sgd", "over local SGD, which talks as seldom"),
                         ("one_machine", "over one machine that got all data once")):  # fmt: skip
        assert f"{words}: {gains('fedavg_1', rival, 'bytes', ('images', 'text'))}" in said
    assert {"one_machine", "ddp", "local_sgd"} <= table.idle("tabular", "bytes")
    assert gains("partial", "fedavg_1", dial.table.GRADIENTS) in said
    assert (
        f"costs {costs('user_8', 'fedavg_1')} points among 20 clients and {costs('crowd_user_8', 'crowd')} among 200"
        in said
    )
    times = [
        (table.row(name, "fedavg_1").mean("bytes_per_participant") or 0)
        / (table.row(name, "one_machine").mean("bytes_per_participant") or 1)
        for name in ("images", "text", "tabular")
    ]
    assert (
        "takes {:.0f} times the bytes of sending the data** for the digits' whole run, {:.0f} times for the keyboard's and {:.1f} times".format(
            *times
        )
        in said
    )
    assert f"against FedAvg: {gains('rule_alone', 'fedavg_1', dial.table.GRADIENTS)}" in said
    for name in names:  # no point more
        behind, alone = (table.row(name, stop).scores() for stop in ("defended", "rule_alone"))
        assert learning.compare(alone, behind, "better", margin=0.01).outcome == "does not hold here"
    assert f"undefended FedAvg loses {costs('attacked', 'fedavg_1')} on digits" in said
    untold = {
        name: [stop for stop, one in table.differences(name).items() if one.outcome == "cannot tell"] for name in names
    }
    counts = [f"{len(untold[name])}{' stops' * (name == 'images')} of {len(table.of(name)) - 1}" for name in names]
    assert "on digits for {}, on payments for {}, on the keyboard for {}".format(*counts) in said
    assert "fedavg_1" in untold["images"] and "fedavg_1" in untold["text"] and "fedavg_1" not in untold["tabular"]
    rows = {(row["part"], row["name"]): row["runs"] for row in classroom.stored("topologies")["rows"]}
    mixed, alike = (
        learning.interval(
            [a["nodes"] - b["nodes"] for a, b in zip(rows[part, "4 silos"], rows[part, "server"], strict=True)]
        )
        for part in ("skewed", "lopsided silos")
    )
    assert f"{mixed:+.1f} points where a silo's clients differ, {alike:+.1f} where they are alike" in said
    cases = {row["way"]: row["runs"] for row in classroom.stored("cases")["rows"] if row["case"] == "IoT sensors"}
    alone, dml, fl = (mean(run["score"] for run in cases[way]) for way in ("alone", "DML", "FL"))
    assert f"alone {alone:.1f}, DML {dml:.1f}, FL {fl:.1f}%" in said
    edge = {row["form"]: row for row in classroom.stored("edge")["rows"] if row["task"] == "2NN, digits"}
    whole, eight = edge["32 bits"], edge["8 bits"]
    assert f"shrinks {whole['bytes'] / eight['bytes']:.1f} times" in said
    assert f"takes {median(eight['microseconds']) / median(whole['microseconds']):.1f} times as long" in said
    assert f"come {median(whole['microseconds, 32']) / median(eight['microseconds, 32']):.1f} times as fast" in said
