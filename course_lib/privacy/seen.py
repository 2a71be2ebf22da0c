"""What the server of a run could see, read off the messages that were recorded: one table for every mode."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.user_level import UserLevel

if TYPE_CHECKING:
    import pandas as pd

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


def table(runs: Mapping[str, "Run"]) -> "pd.DataFrame":
    """Return one row a run: how many messages of raw data, single updates, masked updates and sums its server got, and what was noised
    before."""
    import pandas as pd

    rows = {name: seen_by_server(run) for name, run in runs.items()}
    columns = {
        "raw data": "raw", "single updates": "single", "masked updates": "masked", "sums": "sums", "noised before it": "noise",
    }  # fmt: skip
    return pd.DataFrame(
        {title: [getattr(row, name) for row in rows.values()] for title, name in columns.items()}, index=list(rows)
    )
