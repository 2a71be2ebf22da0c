"""What the server of a run could see, read off the messages that were recorded: one table for every mode."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.user_level import UserLevel

if TYPE_CHECKING:
    from course_lib.rounds.run import Run


@dataclass(frozen=True)
class Seen:
    """What a server got in a run.

    `raw`: messages with raw data; `single`: updates or gradients of a single participant that it could read; `masked`: those that
    were noise to it; `sums`: rounds of which it learnt the sum alone. `noise`: what was noised before it reached the server,
    "nothing", "each example's pull" or "the sum"; noise that the server adds itself hides nothing from it.
    """

    raw: int
    single: int
    masked: int
    sums: int
    noise: str


def seen_by_server(run: "Run") -> Seen:
    """Return what the server of a run could see, counted in its recorded messages."""
    to_server = run.traffic[run.traffic["receiver"] == "server"]
    kinds = to_server["kind"].str.split(": ").str[0]
    masked = kinds == "masked vector"
    noise, privacy = "nothing", run.plan.privacy
    if isinstance(privacy, ExampleLevel) and run.plan.data == "stays" and privacy.noise_multiplier:
        noise = "each example's pull"
    if isinstance(privacy, UserLevel) and privacy.noise_by == "clients" and privacy.noise_multiplier:
        noise = "the sum"
    return Seen(
        int((kinds == "data").sum()), int(kinds.isin(["update", "gradient"]).sum()), int(masked.sum()),
        int(to_server.loc[masked, "round"].nunique()), noise,
    )  # fmt: skip


def table(runs: Mapping[str, "Run"]) -> dict[str, dict[str, int | str]]:
    """Return one row a run, as `classroom.table` takes them: what its server got, by kind, and what was noised before it came."""
    return {
        name: {
            "raw data": seen.raw, "single updates": seen.single, "masked updates": seen.masked, "sums alone": seen.sums,
            "noised on the way": seen.noise,
        }
        for name, seen in ((name, seen_by_server(run)) for name, run in runs.items())
    }  # fmt: skip
