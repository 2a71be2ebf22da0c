"""A diagram shows the messages that were recorded: all of them, as wide as they are long, and in words."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from course_lib import classroom, data, models, plans, rounds
from course_lib.classroom import plots
from course_lib.compression import Quantise
from course_lib.federated.participation import Devices
from course_lib.federated.strategies import Scaffold


def traffic(*messages: tuple[str, str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(messages, columns=["sender", "receiver", "kind", "bytes"])


def arrows(picture: plots.Picture) -> list[Any]:
    """The arrows that were drawn, in all panels."""
    return [
        patch for axes in picture.figure.axes for patch in axes.patches if type(patch).__name__ == "FancyArrowPatch"
    ]


def texts(picture: plots.Picture) -> list[str]:
    return [text.get_text() for axes in picture.figure.axes for text in axes.texts]


STAR = traffic(("server", "client 0", "model", 1000), ("server", "client 1", "model", 1000),
               ("client 0", "server", "update: partial", 500), ("client 1", "server", "update", 500))  # fmt: skip


def test_every_message_is_an_arrow_as_wide_as_it_is_long_and_every_client_says_what_it_holds() -> None:
    picture = plots.diagram(STAR, holds=[40, 1200], unit="images", title="A round")
    drawn = arrows(picture)
    assert len(drawn) == 4
    down, up = drawn[0].get_linewidth(), drawn[2].get_linewidth()
    assert down > up > 0
    assert {"server", "client 0\n40", "client 1\n1,200"} <= set(texts(picture))
    assert picture.summary == (
        "A round: 2 participants hold 40 to 1,200 images each. model from server to 2 clients, 1 kB each. "
        "update from 2 clients to server, 500 B each. 3 kB in all."
    )


def test_messages_of_one_kind_between_the_same_two_are_one_arrow_with_their_sum() -> None:
    picture = plots.diagram(traffic(("client 0", "server", "data", 900), ("client 0", "server", "data", 100)))
    assert len(arrows(picture)) == 1 and "data from client 0 to server, 1 kB each" in picture.summary


def test_workers_without_a_server_stand_in_a_circle_with_one_arrow_each_way() -> None:
    ring = traffic(*[(f"worker {k}", f"worker {(k + 1) % 3}", kind, 100) for k in range(3) for kind in ("sum", "mean")])
    picture = plots.diagram(ring, title="Ring")
    assert len(arrows(picture)) == 3
    assert picture.summary == "Ring: sum and mean from 3 workers to 3 workers, 200 B each. 600 B in all."
    # What clients hold says nothing of workers.
    beside = plots.diagram(ring, holds=[1, 2, 3], title="Ring")
    assert beside.summary == picture.summary and not any("wait" in text for text in texts(beside))


def test_of_a_large_crowd_the_sample_has_boxes_and_the_others_are_dots_that_wait() -> None:
    picture = plots.diagram(plans.fedavg(3, participation=0.2), [40] * 100, weights=1000)
    [axes] = picture.figure.axes
    assert sum(text.startswith("client") for text in texts(picture)) == 10
    # Those who take part come first, and darker.
    assert [line.get_color() for line in axes.lines] == ["0.2"] * 10 + ["#B5B5B5"] * 80
    assert "10 more take part, 80 others wait" in texts(picture) and picture.summary.endswith("80 wait.")
    assert len(arrows(picture)) == 20


def test_a_row_of_dots_that_is_not_full_stands_in_the_middle() -> None:
    [axes] = plots.diagram(plans.fedavg(3, participation=1.0), [40] * 20, weights=1000).figure.axes
    places = [float(np.asarray(line.get_xdata())[0]) for line in axes.lines]
    assert len(places) == 10
    assert sum(places) / len(places) == pytest.approx(axes.get_xlim()[1] / 2)


def test_few_clients_are_all_boxes_those_who_wait_too() -> None:
    picture = plots.diagram(STAR, holds=[1, 2, 3])
    assert "client 2\n3" in texts(picture) and len(arrows(picture)) == 4
    assert picture.summary.endswith("1 wait.")


def test_a_run_is_drawn_from_the_first_round_of_its_training_or_from_any_other() -> None:
    train, test = data.load("digits")
    owners = data.partitions.dirichlet(train.y, clients=4, alpha=0.5, seed=0)
    ways = {
        "one machine": plans.centralised(1, 160), "distributed": plans.synchronous_sgd(steps=2),
        "federated": plans.fedavg(2, 0.5, epochs=1),
    }  # fmt: skip
    runs = {name: rounds.fit(models.logistic(), train, owners, plan, test=test, seed=0) for name, plan in ways.items()}
    picture = classroom.diagram(runs, [len(part) for part in owners], title="Three ways")
    assert len(picture.figure.axes) == 3 and len(arrows(picture)) == 4 + 12 + 4
    assert "federated: 4 participants hold" in picture.summary and "2.6 kB each" in picture.summary
    moved = plots.diagram(runs["distributed"], at_round=0)
    assert len(arrows(moved)) == 8 and "data from server to 4 workers" in moved.summary
    with pytest.raises(ValueError, match="nothing was sent in round 9"):
        plots.diagram(runs["federated"], at_round=9)


def test_a_plan_says_before_any_run_what_a_run_then_sends() -> None:
    train, test = data.load("digits")
    owners = data.partitions.iid(train.y, clients=4, seed=0)
    sizes = [len(part) for part in owners]
    for plan in (plans.fedavg(1, 1.0, epochs=1), plans.fedavg(1, 1.0, epochs=1).but(compression=Quantise())):
        run = rounds.fit(models.logistic(), train, owners, plan, test=test, seed=0)
        assert plots.diagram(plan, sizes, weights=650).summary == plots.diagram(run, sizes).summary
    workers = plots.diagram(plans.synchronous_sgd(), sizes, weights=640).summary
    assert "gradient and mean gradient from 4 workers to 4 workers, 1.28 kB each" in workers
    assert "data from 4 clients to server." in plots.diagram(plans.centralised(), sizes).summary


@pytest.mark.parametrize("change", [{"strategy": Scaffold()}, {"fleet": Devices(dropout=0.5)}])
def test_a_plan_whose_messages_only_a_run_can_tell_is_not_drawn(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="draw a run of this plan"):
        plots.diagram(plans.fedavg().but(**change), [1, 2], weights=10)


def test_a_plan_alone_does_not_say_who_holds_what() -> None:
    with pytest.raises(ValueError, match=r"say what the clients hold \(holds=\)"):
        plots.diagram(plans.fedavg(), weights=10)


def test_a_step_of_the_ring_labels_each_arrow_with_its_chunk_and_counts_complete_chunks() -> None:
    picture = plots.ring([[2, 1], [2, 1]], [(0, 1, 0), (1, 0, 1)], "Step 2")
    assert len(arrows(picture)) == 2
    assert {"chunk 0", "chunk 1", "worker 0", "worker 1"} <= set(texts(picture))
    assert picture.summary == (
        "Step 2. 2 workers in a circle. On the way: chunk 0 from worker 0 to 1, chunk 1 from worker 1 to 0. "
        "2 of 4 chunks hold the numbers of all 2 workers."
    )
    sizes = {tuple(plots.ring([[1] * n] * n).figure.get_size_inches()) for n in (2, 3, 6)}
    assert len(sizes) == 1
    with pytest.raises(ValueError, match="same number of chunks"):
        plots.ring([[1, 1], [1]])


def test_a_deadline_marks_those_who_end_after_it_and_nobody_else() -> None:
    clients = {"laptop": {"download": 0.1, "compute": 0.2, "upload": 0.7}, "phone": {"compute": 0.5, "upload": 0.7}}
    picture = plots.deadline(clients, 1, "A round", limits=(0, 3))
    assert [text for text in texts(picture) if "late" in text] == [" ✗ late"]
    assert picture.figure.axes[0].get_xlim() == (0, 3)
    assert picture.summary == (
        "A round. Bars of a round's time by client. laptop: download 0.1 s, compute 0.2 s, upload 0.7 s, done after 1 s; "
        "phone: compute 0.5 s, upload 0.7 s, done after 1.2 s. The deadline is at 1 s; late: phone."
    )
    assert "late" not in plots.deadline(clients).summary
    with pytest.raises(ValueError, match="phases named download, compute, upload, got \\['sleep'\\]"):
        plots.deadline({"phone": {"sleep": 1.0}})


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (652, "652 B"), (999.6, "1 kB"), (203_560, "204 kB"), (1_628_480, "1.63 MB"), (330_500_000, "330 MB"),
     (999_900_000, "1 GB"), (2_500_000_000_000, "2,500 GB")],
)  # fmt: skip
def test_bytes_are_said_in_the_unit_that_suits_them(count: float, words: str) -> None:
    assert plots.human(count) == words
