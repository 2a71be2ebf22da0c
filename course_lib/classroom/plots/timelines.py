"""A round on a clock: how long each client downloads, computes and uploads, and who misses the deadline."""

from collections.abc import Mapping

from course_lib.classroom.plots.style import COLOURS, Picture, figure

# As everywhere: what comes down is blue, what goes up is orange.
_PHASES = {"download": (COLOURS[0], ""), "compute": ("#BFBFBF", ""), "upload": (COLOURS[1], "//")}


def deadline(
    clients: Mapping[str, Mapping[str, float]], seconds: float | None = None, title: str = "",
    limits: tuple[float, float] | None = None,
) -> Picture:  # fmt: skip
    """Draw each client's round as a bar of download, compute and upload, against a deadline at which the server goes on.

    `clients`: for each client, the seconds of its phases "download", "compute" and "upload". `seconds`: the deadline; those
    whose last phase ends later are marked. `limits`: of the time axis, so that an explorer's stays put.
    Raises ValueError for no client, or a phase with another name.
    """
    unknown = {phase for phases in clients.values() for phase in phases} - _PHASES.keys()
    if not clients or unknown:
        raise ValueError(f"every client needs phases named {', '.join(_PHASES)}, got {sorted(unknown) or 'no client'}")
    made, axes = figure(title, "seconds since the round began", size=(6.4, 1.4 + 0.36 * len(clients)))
    ends = {name: sum(phases.values()) for name, phases in clients.items()}
    late = [name for name, end in ends.items() if seconds is not None and end > seconds]
    for row, phases in enumerate(clients.values()):
        begun = 0.0
        for phase, (colour, hatch) in _PHASES.items():
            axes.barh(row, phases.get(phase, 0.0), left=begun, height=0.62, color=colour, hatch=hatch, edgecolor="white",
                      label=phase if row == 0 else None)  # fmt: skip
            begun += phases.get(phase, 0.0)
    high = limits[1] if limits else 1.12 * max(*ends.values(), seconds or 0.0)
    for row, (name, end) in enumerate(ends.items()):
        if name in late:
            axes.text(min(end, 0.93 * high), row, " ✗ late", va="center", fontsize=9, weight="bold",
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.9})  # fmt: skip
    if seconds is not None:
        axes.axvline(seconds, color="black", linewidth=1.5, linestyle="--", label=f"deadline, {seconds:g} s")
    axes.set_yticks(range(len(clients)), list(clients))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(*(limits or (0, high)))
    made.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return Picture(made, _describe(clients, ends, late, seconds, title))


def _describe(
    clients: Mapping[str, Mapping[str, float]],
    ends: Mapping[str, float],
    late: list[str],
    seconds: float | None,
    title: str,
) -> str:
    rows = [
        f"{name}: {', '.join(f'{phase} {spent:.2g} s' for phase, spent in phases.items())}, done after {ends[name]:.2g} s"
        for name, phases in clients.items()
    ]
    said = f"Bars of a round's time by client. {'; '.join(rows)}."
    if seconds is not None:
        said += f" The deadline is at {seconds:g} s; late: {', '.join(late) or 'nobody'}."
    return f"{title}. {said}" if title else said
