"""What a study found: its table, paired comparisons, and the curves of its runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.federated import fairness
from course_lib.learning import Interval, interval, paired_difference
from course_lib.rounds.run import Run
from course_lib.study import storage

if TYPE_CHECKING:
    import pandas as pd

# A stored result: what `record` returns.
Record = Mapping[str, Any]


def record(run: Run, seconds: float) -> dict[str, Any]:
    """Return what is kept of a run that took `seconds`; see `Study.rows` for the measures."""
    history, clients = run.history, run.client_accuracy
    best = history["accuracy"].max()
    if "validation_accuracy" in history:
        best = history["accuracy"].iloc[int(history["validation_accuracy"].fillna(0).argmax())]
    measures = {
        "accuracy": run.accuracy,
        "best_accuracy": float(best),
        "worst_decile": fairness.spread(clients)["worst_decile"] if len(clients) else float("nan"),
        "rounds": int(history["round"].iloc[-1]),
        "bytes": run.bytes_sent,
        "seconds": seconds,
        "simulated_seconds": float(history["simulated_seconds"].iloc[-1]),
    }
    return {"measures": measures, "client_accuracy": clients.tolist(), "history": history.to_dict("list")}


@dataclass(frozen=True, repr=False)
class Study:
    """The finished runs of a grid of plans x seeds.

    `records`: what is stored of each finished run, by (plan's name, seed): key, plan, seed, setting, versions, command,
    measures, client_accuracy and history. `missing`: the runs that are not finished.
    """

    records: Mapping[tuple[str, int], Record]
    missing: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        total = len(self.records) + len(self.missing)
        return f"Study of {', '.join(self.plans)}: {len(self.records)} of {total} runs finished"

    @property
    def plans(self) -> tuple[str, ...]:
        """The names of the plans, in the order of the grid."""
        return tuple(dict.fromkeys(plan for plan, _ in [*self.records, *self.missing]))

    @property
    def rows(self) -> "pd.DataFrame":
        """One row a run: plan, seed, accuracy (final, 0 to 1), best_accuracy (of `Run.best_model`), worst_decile (of the clients' accuracies), rounds,
        bytes, seconds (of this machine) and simulated_seconds (of the clients' devices, NaN where unknown)."""
        import pandas as pd

        return pd.DataFrame(
            {"plan": plan, "seed": seed, **found["measures"]} for (plan, seed), found in self.records.items()
        )

    @property
    def curves(self) -> "pd.DataFrame":
        """One row an evaluation: plan, seed, and the columns of `Run.history`."""
        return self._stacked("history")

    @property
    def clients(self) -> "pd.DataFrame":
        """One row a client and run: plan, seed, client and accuracy (0 to 1)."""
        return self._stacked("client_accuracy")

    def table(self, measure: str = "accuracy", level: float = 0.95) -> "pd.DataFrame":
        """Return one row a plan: the number of seeds, the mean over them, and its confidence interval from low to high.

        `measure`: a column of `rows`. With a single seed there is no interval, and low and high are NaN; so is all of a plan
        of which a run has no such number. Raises ValueError
        for an unknown measure.
        """
        import pandas as pd

        found = []
        for plan in self.plans:
            values = list(self.values(plan, measure).values())
            mean = sum(values) / len(values) if values else float("nan")
            low = high = float("nan")
            if len(values) > 1 and all(map(isfinite, values)):
                over_seeds = interval(values, level)
                mean, low, high = over_seeds.mean, over_seeds.low, over_seeds.high
            found.append({"plan": plan, "seeds": len(values), "mean": mean, "low": low, "high": high})
        return pd.DataFrame(found, columns=["plan", "seeds", "mean", "low", "high"]).set_index("plan")

    def interval(self, plan: str, measure: str = "accuracy", level: float = 0.95) -> Interval:
        """Return the mean over seeds with its confidence interval. Raises ValueError for fewer than two seeds."""
        return interval(list(self.values(plan, measure).values()), level)

    def compare(self, a: str, b: str, measure: str = "accuracy", level: float = 0.95) -> Interval:
        """Return the interval of plan a - plan b, seed by seed. Raises ValueError where their finished seeds differ."""
        return paired_difference(self.values(a, measure), self.values(b, measure), level)

    def values(self, plan: str, measure: str = "accuracy") -> dict[int, float]:
        """Return a plan's measure by seed. Raises ValueError for an unknown plan or measure, naming the known ones."""
        if plan not in self.plans:
            raise ValueError(f"the study has no plan {plan!r}: it has {', '.join(map(repr, self.plans))}")
        found = {}
        for (name, seed), stored in self.records.items():
            if measure not in stored["measures"]:
                raise ValueError(f"measure={measure!r} is unknown: use one of {', '.join(stored['measures'])}")
            if name == plan:
                found[seed] = stored["measures"][measure]
        return found

    def save(self, path: str | Path) -> None:
        """Write the whole study into one file, for `load`: to be handed on, or to come with a lesson."""
        runs = [{"plan": plan, "seed": seed, "record": stored} for (plan, seed), stored in self.records.items()]
        storage.write(Path(path), {"runs": runs, "missing": self.missing})

    def _stacked(self, part: str) -> "pd.DataFrame":
        import pandas as pd

        frames = []
        for (plan, seed), stored in self.records.items():
            content = stored[part]
            columns = content if part == "history" else {"client": range(len(content)), "accuracy": content}
            frames.append(pd.DataFrame({"plan": plan, "seed": seed, **columns}))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"plan": [], "seed": []})


def load(path: str | Path) -> Study:
    """Return the study of a folder, finished or not, or of a file that `Study.save` wrote.

    Raises FileNotFoundError where there is none, and ValueError for a file that cannot be read.
    """
    path = Path(path)
    index = path / storage.INDEX if path.is_dir() else path
    if not index.exists():
        raise FileNotFoundError(f"there is no study in {path}: give the folder of a study.run, or a file of Study.save")
    content = storage.read(index)
    if not path.is_dir():
        records = {(one["plan"], one["seed"]): one["record"] for one in content["runs"]}
        return Study(records, tuple((plan, seed) for plan, seed in content["missing"]))
    records, missing = {}, []
    for one in content["runs"]:
        file = path / f"{one['key']}.json"
        if file.exists():
            records[one["plan"], one["seed"]] = storage.read(file)
        else:
            missing.append((one["plan"], one["seed"]))
    return Study(records, tuple(missing))
