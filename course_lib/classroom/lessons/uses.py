"""What lesson 17 reads off its stored studies: the cases, what a thief gets, the small models; and the four situations that it works out."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from course_lib import learning
from course_lib.learning import Finding
from course_lib.study.choosing import Row, Situation

# The four that the lesson works out, each as the lesson tells it. The numbers are those of the case itself.
STORIES: dict[str, dict[str, Any]] = {
    "payment fraud": {"records": "stay", "threat": "curious receivers", "network": "offices", "hardware": "server"},
    "diagnosis": {"records": "stay", "threat": "nobody", "network": "offices", "hardware": "laptop"},
    "keyboard": {"records": "stay", "threat": "curious receivers", "network": "phones", "hardware": "phone"},
    "recommendations": {"records": "may move", "threat": "nobody", "network": "phones", "hardware": "phone"},
}
# Those that introductions name as private.
PRIVATE = ("payment fraud", "diagnosis", "heart disease", "keyboard", "recommendations")
_SIGNS = 8  # kinds of road signs: a guess is right once in so many
WAYS = ("DML", "hybrid", "FL", "FL, secure sum", "FL, fine-tuned", "gossip", "FL, epsilon 3", "alone")
_SEES = {"all": "everybody's records", "group": "its group's records"}
_RECEIVES = {"models": "single models", "sums": "sums of models", "nothing": "nothing"}


class Uses:
    """The study of the cases, `classroom.stored("cases")`, and its rows as the chooser takes them."""

    def __init__(self, study: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self.about = {case["case"]: case for case in study["cases"]}
        self.stored = {(row["case"], row["way"]): row for row in study["rows"]}
        self.rows = list(rows)

    def scores(self, case: str, way: str, measure: str = "score") -> list[float]:
        """Return a measure of each seed as a share from 0 to 1, NaN where a run broke."""
        runs = self.stored[case, way]["runs"]
        return [float("nan") if run[measure] is None else run[measure] / 100 for run in runs]

    def compared(
        self, case: str, way: str, with_: str, claim: learning.finding.Claim, margin: float | None = 0.01
    ) -> Finding:
        """Return what the ruler says of one way beside another."""
        return learning.compare(self.scores(case, way), self.scores(case, with_), claim, margin=margin)

    def of(self, case: str) -> list[Row]:
        """Return the chooser's rows of one case."""
        return [row for row in self.rows if row.task == case]

    def situation(self, case: str) -> Situation:
        """Return a story as the chooser takes it, with the owners, records, skew and weights of its case."""
        about = self.about[case]
        return Situation(
            **STORIES[case],
            owners=about["owners"],
            held=round(median(about["sizes"])),
            skew=about["skew"],
            weights=about["weights"],
        )

    def table(self, case: str) -> dict[str, dict[str, Any]]:
        """Return a case as `classroom.table` takes it: score and worst owner in percent, bytes over a link, and who gets what."""
        rows = {row.way: row for row in self.of(case)}
        return {
            way: {
                "score (%)": [100 * value for value in self.scores(case, way)],
                f"worst {self.about[case]['owner']} (%)": [100 * value for value in self.scores(case, way, "worst")],
                "kB over a link": round((rows[way].upload + rows[way].download) / 1e3),
                "others get": _SEES.get(rows[way].sees) or (
                    f"noisy models, epsilon {rows[way].epsilon:.1f} a record" if rows[way].epsilon else _RECEIVES[rows[way].receives]
                ),
            }
            for way in WAYS if way in rows
        }  # fmt: skip

    def thief(self, case: str) -> dict[str, dict[str, Any]]:
        """Return what one break-in gets, by place, counted."""
        about = self.about[case]
        found = about["breach"]
        return {
            place: {
                about["records"]: got["records"], f"of all {about['records']} (%)": 100 * got["records"] / about["train"],
                "numbers about people": got["numbers"], f"single updates of {about['owner']}s": got.get("updates", 0),
            }
            for place, got in found.items()
        }  # fmt: skip

    def breaches(self) -> dict[str, Finding]:
        """Return what one break-in gets, as statement 6 has it: all of a central store, and less than half where the records stay."""
        store = self.about["payment fraud"]["breach"]["central store"]["records"] / self.about["payment fraud"]["train"]
        found = {
            "payment fraud: share of the payments in the central store": learning.exact(
                round(100 * store, 1), store == 1, "%"
            )
        }
        for name in STORIES:
            share = 100 * max(self.about[name]["sizes"]) / self.about[name]["train"]
            found[f"{name}: the worst single owner under FL has less than half"] = learning.exact(
                round(share, 1), share < 50, "%"
            )
        return found

    def suited(self) -> dict[str, Finding]:
        """Return whether FL gains on each alone where data is private, and DML on FL where it may move: statement 21."""
        gains = {f"{name}: FL better than each alone": self.compared(name, "FL", "alone", "better") for name in PRIVATE}
        moved = {
            f"{name}: DML better than FL, where records may move": self.compared(name, "DML", "FL", "better")
            for name in PRIVATE
        }
        return gains | moved

    def deep(self) -> dict[str, Finding]:
        """Return how a convolutional network on road signs fares under FL: statement 25."""
        fl = self.scores("driving", "FL")
        shallow = self.scores("driving, shallow model", "FL")
        return {
            "LeNet on road signs learns under FL: better than chance": learning.compare(
                fl, [1 / _SIGNS] * len(fl), "better", margin=learning.MARGIN
            ),
            "LeNet on road signs: FL no worse than DML": self.compared("driving", "FL", "DML", "no worse"),
            "under FL: LeNet better than one hidden layer": learning.compare(
                fl, shallow, "better", margin=learning.MARGIN
            ),
        }


class Small:
    """The study of small models, `classroom.stored("edge")`."""

    def __init__(self, study: Mapping[str, Any]) -> None:
        self.rows = {(row["task"], row["form"]): row for row in study["rows"]}
        self.tasks = list(dict.fromkeys(task for task, _ in self.rows))
        self.forms = list(dict.fromkeys(form for _, form in self.rows))

    def accuracy(self, task: str, form: str) -> list[float]:
        """Return the accuracy of each seed, 0 to 1."""
        return [value / 100 for value in self.rows[task, form]["accuracy"]]

    def lost(self, task: str, form: str) -> Finding:
        """Return whether a form is no worse than the whole model."""
        return learning.compare(self.accuracy(task, form), self.accuracy(task, "32 bits"), "no worse")

    def smaller(self, task: str, form: str) -> float:
        """Return how many times smaller the file is."""
        return self.rows[task, "32 bits"]["bytes"] / self.rows[task, form]["bytes"]

    def faster(self, task: str, form: str, measure: str = "microseconds") -> Finding:
        """Return how many times faster a form answers, block by block."""
        return learning.compare_ratio(
            self.rows[task, "32 bits"][measure], self.rows[task, form][measure], "better", over="blocks"
        )

    def trials(self) -> dict[str, Finding]:
        """Return what smaller forms keep and gain, task by task: statement 23."""
        found = {}
        for task in self.tasks:
            found[f"{task}: 8 bits, accuracy"] = self.lost(task, "8 bits")
            found[f"{task}: 8 bits, one answer faster"] = self.faster(task, "8 bits")
            found[f"{task}: 8 bits, 32 answers faster"] = self.faster(task, "8 bits", "microseconds, 32")
            found[f"{task}: a fifth of the weights, accuracy"] = self.lost(task, "a fifth left")
        return found

    def table(self, task: str) -> dict[str, dict[str, Any]]:
        """Return a task as `classroom.table` takes it."""
        return {
            form: {
                "accuracy (%)": [100 * value for value in self.accuracy(task, form)],
                "kB": self.rows[task, form]["bytes"] / 1e3,
                "one example (µs)": median(self.rows[task, form]["microseconds"]),
                "32 examples (µs)": median(self.rows[task, form]["microseconds, 32"]),
            }
            for form in self.forms
        }
