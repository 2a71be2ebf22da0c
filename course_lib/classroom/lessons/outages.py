"""What lesson 06 does to its workers and measures on them: a kill in the middle of a save, what was forgotten, messages and steps."""

import resource
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from course_lib import cluster, data, models, plans, rounds
from course_lib.classroom.progress import track
from course_lib.classroom.tables import say
from course_lib.cluster.traffic import Channel, Recorder

WEIGHTS = 10_000_000  # 40 MB
HALF = 2 * WEIGHTS  # bytes

SHARES = dict.fromkeys(["off (% of the way)", "accuracy (%)"], ".1%")  # how the columns of `forgotten` are written

Save = Callable[[dict[str, Any], Path], Any]


def _save_forever(save: Save, path: Path) -> None:
    """On a worker: save today's state again and again, under a system that kills who writes more than half of it into a file.

    Whoever watched the file grow, and killed then, would often come too late on a busy machine.
    """
    today = {"day": "today", "weights": torch.zeros(WEIGHTS)}
    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)}
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python would make an error of it
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, before[resource.RLIMIT_FSIZE][1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, before[resource.RLIMIT_CORE][1]))
        while True:
            save(today, path)
    finally:  # where saving failed by itself, the worker lives on
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)
        signal.signal(signal.SIGXFSZ, handler)


def killed_half_way(save: Save, path: Path, growing: Path) -> None:
    """Save yesterday's state, and have a worker killed that saves today's, when the file `growing` is half written.

    Raises WorkerError, as the worker's, where saving fails by itself; RuntimeError where another file than `growing` was written.
    """
    save({"day": "yesterday", "weights": torch.zeros(WEIGHTS)}, path)
    try:
        cluster.launch(_save_forever, save, path, workers=1)
    except cluster.WorkerError as error:
        if error.cause != "died":
            raise
    if not growing.exists() or not 0 < growing.stat().st_size <= HALF:
        raise RuntimeError(f"{growing} is not half written: does save write to another file first?")


def left_by(load: Callable[[Path], Any], path: Path) -> str:
    """Return which day's checkpoint can be read, or "neither" and what reading it says."""
    try:
        return f"{load(path)['day']}'s checkpoint"
    except Exception as error:  # noqa: BLE001 (whatever a spoilt file makes of it)
        return f"neither: {type(error).__name__}: {str(error).splitlines()[0][:60]}"


def forgotten(
    runs: Mapping[str, rounds.Run], undisturbed: rounds.Run, untrained: torch.nn.Module
) -> dict[str, dict[str, Any]]:
    """Return a table's rows: how far each resumed run ends from the undisturbed one, as a share of the way that that one went."""
    start, end = _flat(untrained), _flat(undisturbed.model)
    return {
        what: {
            "equal to the bit": "yes" if torch.equal(_flat(run.model), end) else "no",
            "off (% of the way)": float((_flat(run.model) - end).norm() / (end - start).norm()),
            "accuracy (%)": run.accuracy,
        }
        for what, run in runs.items()
    }


def _flat(model: torch.nn.Module) -> torch.Tensor:
    return parameters_to_vector(model.parameters()).detach()


class Saves:
    """The stored study "when_to_save": rounds that were trained until all that are needed were there, by rounds between two saves."""

    def __init__(self, study: Mapping[str, Any]) -> None:
        self.needed, self.between = study["rounds"], study["between_failures"]
        self.trained = {row["every"]: [run["trained"] for run in row["runs"]] for row in study["rows"]}
        self._saves = {row["every"]: row["saves"] for row in study["rows"]}

    def overhead(self, every: int, save: float) -> list[float]:
        """Return per cent of the needed rounds, for each seed: trained again, or spent in saving, if a save takes so many rounds."""
        return [100 * ((trained + save * self._saves[every]) / self.needed - 1) for trained in self.trained[every]]

    def best(self, save: float) -> int:
        """Return the rounds between two saves with the least overhead on average."""
        return min(self.trained, key=lambda every: np.mean(self.overhead(every, save)))


def fit_or_say(model: Callable[..., Any], *points: Any) -> Any:
    """Return the fitted model, or None, and say the reason where these points do not determine it."""
    try:
        return model(*points)
    except ValueError as refused:
        say(f"Not fitted: {refused}.")
        return None


def there_and_back(sizes: Sequence[int], repeats: int = 7) -> list[tuple[int, float]]:
    """On one of two workers: seconds for a message of each size in bytes, half a round trip."""
    channel, took = Channel(Recorder()), []
    for size in [*sizes] * repeats:
        message, began = torch.zeros(size // 4), time.perf_counter()
        if channel.rank == 0:
            channel.send(message, 1, kind="there")
            channel.recv(1, kind="back")
        else:
            channel.send(channel.recv(0, kind="there"), 0, kind="back")
        took.append((size, (time.perf_counter() - began) / 2))
    return took


def steps_of_lenet(repeats: int = 6) -> dict[int, list[float]]:
    """Return the seconds of a step of LeNet on 200 images, on one and on two workers in turns; without the first, which takes longer."""
    few, steps = data.load("mnist5k")[0].subset(range(400)), dict[int, list[float]]()
    for _ in track(range(repeats), "Timed steps of LeNet"):
        for workers in (1, 2):
            plan = plans.synchronous_sgd(2, 200 // workers, learning_rate=0.05)
            dealt = data.partitions.iid(few.y, workers)
            spans = rounds.fit(models.lenet(), few, dealt, plan, workers=workers).timeline
            began = spans[spans.activity == "computing"].start.min()
            steps.setdefault(workers, []).append(float(spans.end.max() - began) / 2)
    return {workers: took[1:] for workers, took in steps.items()}
