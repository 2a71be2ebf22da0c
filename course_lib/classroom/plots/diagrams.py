"""Who holds what, and who sends what to whom: drawn from recorded messages or, before a run, from a plan."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from course_lib.classroom.plots import arrows
from course_lib.classroom.plots.arrows import Arrow
from course_lib.classroom.plots.style import Picture, human, span

if TYPE_CHECKING:
    import pandas as pd

    from course_lib.plans import Plan
    from course_lib.rounds.run import Run

Source: TypeAlias = "Run | Plan | pd.DataFrame"
Holds: TypeAlias = Sequence[int] | Mapping[str, int]


def diagram(
    source: "Source | Mapping[str, Source]", holds: Holds = (), *, at_round: int | None = None, weights: int = 0,
    unit: str = "examples", title: str = "",
) -> Picture:  # fmt: skip
    """Draw who holds what and who sends what to whom in one round; the wider an arrow, the more bytes.

    `source`: a run; a traffic table with the columns sender, receiver, kind, bytes (such as `cluster.traffic.frame` returns),
    drawn as a whole; a plan, for a model of `weights` weights; or several of these, title by title, beside each other.
    `holds`: how many `unit` each client has, in order, or by participant ("worker 0"). `at_round`: by default the first round of
    training, or the moving of the data where nothing else is sent. A server is drawn over its clients, those who only wait as
    dots; participants without a server stand in a circle.

    Raises ValueError where nothing was sent, and for a plan whose messages only a run can tell.
    """
    panels = source if isinstance(source, Mapping) else {title: source}
    drawn = {name: _arrows(one, holds, at_round, weights) for name, one in panels.items()}
    held = dict(holds) if isinstance(holds, Mapping) else {f"client {k}": size for k, size in enumerate(holds)}
    over = title if isinstance(source, Mapping) else ""
    words = [_describe(name, some, held, unit) for name, some in drawn.items()]
    return Picture(arrows.draw(drawn, held, unit, over), " ".join([f"{over}." if over else "", *words]).strip())


def _arrows(source: Source, holds: Holds, at_round: int | None, weights: int) -> list[Arrow]:
    from course_lib.plans import Plan
    from course_lib.rounds.run import Run

    if isinstance(source, Plan):
        return _planned(source, len(holds), weights)
    if isinstance(source, Run):
        traffic = source.traffic[source.traffic["kind"] != "evaluation"]
        rounds = sorted(set(traffic["round"]))
        if at_round is None:
            at_round = next((number for number in rounds if number > 0), 0)
        traffic = traffic[traffic["round"] == at_round]
    else:
        traffic = source if at_round is None else source[source["round"] == at_round]
    if "direction" in traffic:  # each message was seen twice: where it left, and where it entered
        traffic = traffic[traffic["direction"] == "out"]
    if not len(traffic):
        raise ValueError(
            f"nothing was sent{'' if at_round is None else f' in round {at_round}'}: there is nothing to draw"
        )
    return _summed(traffic)


def _summed(traffic: "pd.DataFrame") -> list[Arrow]:
    """One arrow for each sender, receiver and kind; without a server, kinds are joined."""
    server = "server" in set(traffic["sender"]) | set(traffic["receiver"])
    summed: dict[tuple[str, str], dict[str, int]] = {}
    columns = [traffic[name].tolist() for name in ("sender", "receiver", "kind", "bytes")]
    for sender, receiver, remarked, size in zip(*columns, strict=True):
        kind = remarked.partition(": ")[0]
        own = summed.setdefault((sender, receiver), {})
        own[kind] = own.get(kind, 0) + size
    found = []
    for (sender, receiver), kinds in summed.items():
        if server:
            found += [Arrow(sender, receiver, kind, count) for kind, count in kinds.items()]
        else:
            found.append(Arrow(sender, receiver, " and ".join(kinds), sum(kinds.values())))
    return found


def _planned(plan: "Plan", clients: int, weights: int) -> list[Arrow]:
    """The first round that a plan asks for; of clients, the first ones stand for a sample of them."""
    if not clients or (not weights and plan.exchange != "none"):
        raise ValueError(
            "to draw a plan, say what the clients hold (holds=) and how many weights the model has (weights=)"
        )
    if plan.fleet or plan.strategy or (plan.compression and plan.exchange == "all-reduce"):
        raise ValueError("what a fleet, a strategy or packed workers send only a run can tell: draw a run of this plan")
    model = 4 * weights
    if plan.exchange == "none":
        return [Arrow(f"client {k}", "server", "data", 0) for k in range(clients)]
    if plan.exchange == "all-reduce":
        share = 2 * model // clients  # a part of the sum to each other worker, and a part of the mean
        return [
            Arrow(f"worker {k}", f"worker {other}", f"{plan.sends} and mean {plan.sends}", share)
            for k in range(clients) for other in range(clients) if k != other
        ]  # fmt: skip
    cohort = range(max(1, round(plan.participation * clients)))
    up = plan.compression.size(weights) if plan.compression else model
    down = [Arrow("server", f"client {k}", "model", model) for k in cohort]
    return down + [Arrow(f"client {k}", "server", plan.sends, up) for k in cohort]


def _describe(name: str, some: list[Arrow], held: Mapping[str, int], unit: str) -> str:
    parts = [f"{name}:" if name else ""]
    active = {name for arrow in some for name in (arrow.sender, arrow.receiver)}
    if active & held.keys():
        parts.append(f"{len(held)} participants hold {_range(list(held.values()))} {unit} each.")
    for kind in dict.fromkeys(arrow.kind for arrow in some):
        own = [arrow for arrow in some if arrow.kind == kind]
        for to_server in (False, True):
            part = [arrow for arrow in own if (arrow.receiver == "server") == to_server]
            if part:
                parts.append(_sentence(kind, part))
    total = sum(arrow.bytes for arrow in some)
    if total:
        parts.append(f"{human(total)} in all.")
    if "server" in active and held.keys() - active:
        parts.append(f"{len(held.keys() - active)} wait.")
    return " ".join(filter(None, parts))


def _sentence(kind: str, some: list[Arrow]) -> str:
    senders, receivers = (list(dict.fromkeys(getattr(arrow, end) for arrow in some)) for end in ("sender", "receiver"))
    each = f", {span([arrow.bytes for arrow in some])} each" if any(arrow.bytes for arrow in some) else ""
    return f"{kind} from {_party(senders)} to {_party(receivers)}{each}."


def _party(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} {names[0].partition(' ')[0]}s"


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
