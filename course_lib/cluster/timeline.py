"""Messages and timelines as tables and pictures."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from course_lib.cluster.recorder import Message, Span

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by colour-blind readers, and by their brightness in print.
_COLOURS = {"computing": "#0072B2", "talking": "#E69F00", "waiting": "#009E73"}
_OTHER_COLOURS = ("#CC79A7", "#56B4E9", "#D55E00")


def frame(messages: Iterable[Message]) -> "pd.DataFrame":
    """Return one row a message: round, sender, receiver, kind, bytes, crossed, direction."""
    import pandas as pd

    columns = list(Message.__dataclass_fields__)
    return pd.DataFrame([[getattr(message, name) for name in columns] for message in messages], columns=columns)


def timeline_frame(spans: Sequence[Sequence[Span]]) -> "pd.DataFrame":
    """Return one row a span, given each rank's spans: rank, name, start, end in seconds since the first one began."""
    import pandas as pd

    began = min((start for own in spans for _, start, _ in own), default=0.0)
    rows = [(rank, name, start - began, end - began) for rank, own in enumerate(spans) for name, start, end in own]
    return pd.DataFrame(rows, columns=["rank", "name", "start", "end"])


def timeline_text(spans: Sequence[Sequence[Span]]) -> str:
    """Return each rank's share of the time, in words: the picture's text summary."""
    table = timeline_frame(spans)
    if table.empty:
        return "No activity was recorded."
    total = table["end"].max()
    lines = []
    for rank in range(len(spans)):
        own = table[table["rank"] == rank]
        seconds = (own["end"] - own["start"]).groupby(own["name"]).sum()
        shares = ", ".join(f"{100 * seconds[name] / total:.0f}% {name}" for name in _names(table) if name in seconds)
        lines.append(f"rank {rank}: {shares or 'nothing recorded'}")
    return f"Of {total:.2f} seconds, " + "; ".join(lines) + "."


def timeline_picture(spans: Sequence[Sequence[Span]], ax: "Axes | None" = None) -> "tuple[Figure, str]":
    """Draw one bar a rank, coloured by what it did; return the figure and its text summary."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    table = timeline_frame(spans)
    axes = ax
    if axes is None:
        axes = Figure(figsize=(8, 0.8 + 0.45 * len(spans)), dpi=100, layout="constrained").add_subplot()
    names = _names(table)
    others = iter(_OTHER_COLOURS * len(names))
    colours = {name: _COLOURS.get(name) or next(others) for name in names}
    for rank in range(len(spans)):
        for name in names:
            own = table[(table["rank"] == rank) & (table["name"] == name)]
            bars = list(zip(own["start"], own["end"] - own["start"], strict=True))
            axes.broken_barh(bars, (rank - 0.4, 0.8), facecolors=colours[name])
    axes.set_yticks(range(len(spans)), [f"rank {rank}" for rank in range(len(spans))])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    if names:
        axes.legend(
            handles=[Patch(color=colours[name], label=name) for name in names],
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=4,
        )
    return cast("Figure", axes.figure), timeline_text(spans)


def _names(table: "pd.DataFrame") -> list[str]:
    """Return the activities of a timeline, the usual ones first."""
    found = list(table["name"].unique())
    return [name for name in _COLOURS if name in found] + sorted(name for name in found if name not in _COLOURS)
