"""Boxes and arrows: where the participants of a diagram stand, and what is drawn between them. A unit is an inch."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi, sin
from typing import TYPE_CHECKING

from course_lib.classroom.plots.style import COLOURS, human, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What goes down and what comes up keep their colours from lesson to lesson.
_KINDS = {"model": COLOURS[0], "update": COLOURS[1], "gradient": COLOURS[1], "mean gradient": COLOURS[0],
          "mean update": COLOURS[0], "data": COLOURS[3]}  # fmt: skip
_OTHERS = (COLOURS[2], COLOURS[4], COLOURS[5])
_IDLE = "#6E6E6E"  # a grey that still reads on white
MOST_BOXES = 10
_WIDE, _TALL = 0.7, 0.44  # of a box
_DOTS = 50  # clients that wait, in one row


@dataclass(frozen=True)
class Arrow:
    """`bytes` of one kind that go from one participant to another; 0 where nobody counted them."""

    sender: str
    receiver: str
    kind: str
    bytes: int
    label: str = ""


@dataclass(frozen=True)
class Box:
    """Where a participant stands: the middle of its box, and how wide the box is."""

    x: float
    y: float
    wide: float = _WIDE

    def towards(self, other: "Box", aside: float) -> tuple[float, float]:
        """Return a point on the lower or upper edge, as far along it as `other` stands in its row, and `aside` of it."""
        share = 0.5 if self.wide > _WIDE else 0
        return self.x + share * (other.x - self.x) + aside, self.y + (_TALL / 2 + 0.03) * (
            1 if other.y > self.y else -1
        )


def draw(panels: Mapping[str, list[Arrow]], held: Mapping[str, int], unit: str, title: str = "") -> "Figure":
    """Draw one panel for each title, with arrows as wide as their bytes are many, on one scale for all."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    most = max((arrow.bytes for some in panels.values() for arrow in some), default=0)
    wide = 6.6 if len(panels) == 1 else 4.4 if len(panels) == 2 else 3.0
    places = {name: _places(some, held, wide) for name, some in panels.items()}
    tall, above, below = max(height for _, height in places.values()), 0.6 if title else 0.35, 0.75
    size = wide * len(panels), tall + above + below
    with mpl.rc_context({"font.size": 8.5, "figure.facecolor": "white"}):
        made = Figure(figsize=size, dpi=100)
        if title:
            made.suptitle(title, fontsize=12)
        for at, (name, some) in enumerate(panels.items()):
            axes = made.add_axes((at / len(panels), below / size[1], 1 / len(panels), tall / size[1]))
            boxes, height = places[name]
            axes.set(xlim=(0, wide), ylim=(height - tall, height))
            axes.axis("off")
            axes.set_title(name, fontsize=11)
            _draw_boxes(axes, boxes, some, held)
            _draw_arrows(axes, boxes, some, most)
            if "server" in boxes:
                _draw_others(axes, boxes, some, held)
            _legend(axes, some, f"numbers in boxes: {unit} held" if any(name in held for name in boxes) else None)
    return made


def _places(some: list[Arrow], held: Mapping[str, int], wide: float) -> tuple[dict[str, Box], float]:
    """Return where everybody stands, and how high the panel is."""
    active = dict.fromkeys(name for arrow in some for name in (arrow.sender, arrow.receiver))
    if "server" not in active:
        return circle(sorted(active, key=_order), wide)
    clients = [name for name in active if name.startswith("client")]
    if len(held) <= MOST_BOXES:
        clients = list({**dict.fromkeys(clients), **dict.fromkeys(held)})
    workers = [name for name in active if name != "server" and name not in clients]
    hidden = len({*held, *active} - {"server"}) - len(clients[:MOST_BOXES]) - len(workers)
    base = 0.3 + (0.25 + 0.13 * -(-hidden // _DOTS) if hidden else 0)
    boxes = (
        _row(clients, wide, base) | {"server": Box(wide / 2, base + 1.6, 0.6 * wide)} | _row(workers, wide, base + 3.2)
    )
    return boxes, base + (3.5 if workers else 1.9)


def _row(names: list[str], wide: float, y: float) -> dict[str, Box]:
    names = sorted(names, key=_order)[:MOST_BOXES]
    each = min(_WIDE, 0.91 * wide / max(1, len(names)))
    return {name: Box(0.02 * wide + 0.96 * wide * (at + 0.5) / len(names), y, each) for at, name in enumerate(names)}


def circle(names: list[str], wide: float, radius: float = 0.0) -> tuple[dict[str, Box], float]:
    """Return places on a circle, the first one at the top and the others clockwise, and the height that it takes."""
    radius = radius or min(wide / 2 - 0.45, 1.1 if len(names) < 6 else 1.5)
    height = 2 * radius + 0.6
    angles = [pi / 2 - 2 * pi * at / len(names) for at in range(len(names))]
    boxes = [Box(wide / 2 + radius * cos(angle), height / 2 + radius * sin(angle)) for angle in angles]
    return dict(zip(names, boxes, strict=True)), height


def _order(name: str) -> tuple[str, int]:
    kind, _, number = name.partition(" ")
    return kind, int(number) if number.isdigit() else 0


def _draw_boxes(axes: "Axes", boxes: Mapping[str, Box], some: list[Arrow], held: Mapping[str, int]) -> None:
    active = {name for arrow in some for name in (arrow.sender, arrow.receiver)}
    for name, box in boxes.items():
        text = name if box.wide > 0.58 else name[0] + name.partition(" ")[2]
        text += f"\n{held[name]:,}" if name in held else ""
        draw_box(axes, box, text, idle=name not in active)


def draw_box(axes: "Axes", box: Box, text: str, *, idle: bool = False) -> None:
    """Draw a rounded box with a text in it, in grey for those who only wait."""
    from matplotlib.patches import FancyBboxPatch

    corner = box.x - box.wide / 2 + 0.05, box.y - _TALL / 2 + 0.05
    axes.add_patch(
        FancyBboxPatch(
            corner, box.wide - 0.1, _TALL - 0.1, boxstyle="round,pad=0.05", zorder=3, linestyle="--" if idle else "-",
            facecolor="white" if idle else "#EEF3F7", edgecolor=_IDLE if idle else "0.25",
        )
    )  # fmt: skip
    axes.text(box.x, box.y, text, ha="center", va="center", zorder=4, color=_IDLE if idle else "black")


def _draw_arrows(axes: "Axes", boxes: Mapping[str, Box], some: list[Arrow], most: int) -> None:
    uneven, crowded = _uneven(some), len(boxes) > 7
    both = {(arrow.receiver, arrow.sender) for arrow in some}
    for arrow in some:
        if not {arrow.sender, arrow.receiver} <= boxes.keys():
            continue
        start, end = boxes[arrow.sender], boxes[arrow.receiver]
        label = arrow.label or (human(arrow.bytes) if arrow.kind in uneven and not crowded else "")
        width = 0.8 + (2.2 if crowded else 3.7) * arrow.bytes / most if most else 1.2
        colour = colour_of(arrow.kind, some)
        if "server" in (arrow.sender, arrow.receiver):
            aside = 0 if (arrow.sender, arrow.receiver) not in both else 0.11 if arrow.receiver == "server" else -0.11
            draw_arrow(axes, start.towards(end, aside), end.towards(start, aside), colour, width, label)
        else:
            draw_arrow(axes, (start.x, start.y), (end.x, end.y), colour, width, label, bend=0.12, room=27)


def draw_arrow(
    axes: "Axes", start: tuple[float, float], end: tuple[float, float], colour: str, width: float, label: str = "",
    bend: float = 0.0, room: float = 0.0,
) -> None:  # fmt: skip
    """Draw an arrow, bent to its left by a share of its length, that leaves out `room` points at each end."""
    from matplotlib.patches import FancyArrowPatch

    axes.add_patch(
        FancyArrowPatch(
            start, end, connectionstyle=f"arc3,rad={bend}", mutation_scale=1, linewidth=width, color=colour, zorder=2,
            arrowstyle=f"-|>,head_length={4 + 1.5 * width},head_width={2 + 0.8 * width}", shrinkA=room, shrinkB=room,
        )
    )  # fmt: skip
    if label:
        (ax, ay), (bx, by) = start, end
        # A bent arrow's middle lies half the bend beside the straight line.
        x, y = (ax + bx) / 2 + bend * (by - ay) / 2, (ay + by) / 2 - bend * (bx - ax) / 2
        axes.text(x, y, label, ha="center", va="center", fontsize=8, zorder=5,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip


def colour_of(kind: str, some: list[Arrow]) -> str:
    """Return the colour of a kind of message: fixed for the usual ones, by order for the others."""
    others = [other for other in dict.fromkeys(arrow.kind for arrow in some) if other not in _KINDS]
    return _KINDS.get(kind) or _OTHERS[others.index(kind) % len(_OTHERS)]


def _uneven(some: list[Arrow]) -> set[str]:
    """Return the kinds whose messages differ by more than rounding: a hundredth."""
    sizes = {kind: [arrow.bytes for arrow in some if arrow.kind == kind] for kind in {arrow.kind for arrow in some}}
    return {kind for kind, own in sizes.items() if min(own) < 0.99 * max(own)}


def _legend(axes: "Axes", some: list[Arrow], title: str | None) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for kind in dict.fromkeys(arrow.kind for arrow in some):
        sizes = [arrow.bytes for arrow in some if arrow.kind == kind]
        each = span(sizes) if kind in _uneven(some) else human(max(sizes))
        label = f"{kind}: {each} each" if max(sizes) else kind
        handles.append(Line2D([], [], color=colour_of(kind, some), linewidth=2.5, label=label))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), frameon=False, fontsize=8.5, handlelength=1.4,
                title=title, title_fontsize=8, ncols=2 if axes.get_xlim()[1] > 4 else 1)  # fmt: skip


def _draw_others(axes: "Axes", boxes: Mapping[str, Box], some: list[Arrow], held: Mapping[str, int]) -> None:
    """Draw everybody without a box as a dot: dark for those who take part, grey for those who wait."""
    active = {name for arrow in some for name in (arrow.sender, arrow.receiver)}
    others = sorted({*held, *active} - boxes.keys(), key=lambda name: (name not in active, _order(name)))
    if not others:
        return
    wide, more = axes.get_xlim()[1], len([name for name in others if name in active])
    for at, name in enumerate(others):
        row, place = divmod(at, _DOTS)
        spare = _DOTS - min(_DOTS, len(others) - row * _DOTS)  # a row that is not full stands in the middle
        x, y = wide * (place + 0.5 + spare / 2) / _DOTS, 0.04 + 0.13 * ((len(others) - 1) // _DOTS - row)
        axes.plot(x, y, "o", color="0.2" if name in active else "#B5B5B5", markersize=4)
    parts = [
        f"{more} more take part" if more else "",
        f"{len(others) - more} others wait" if more < len(others) else "",
    ]
    top = 0.15 + 0.13 * -(-len(others) // _DOTS)
    axes.text(wide / 2, top - 0.04, ", ".join(filter(None, parts)), ha="center", va="center", color=_IDLE)
