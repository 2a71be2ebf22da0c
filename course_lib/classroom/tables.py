"""Tables: headers over their columns, units in the headers, numbers that line up, and what ± and the marks mean."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

from course_lib.classroom import cards
from course_lib.classroom.estimates import MARKS, Estimate, estimate, explained, span

if TYPE_CHECKING:
    import pandas as pd

    from course_lib.learning import Finding

# A label, or a group and a label in it.
Label: TypeAlias = "str | int | float | tuple[Any, Any]"
Rows: TypeAlias = "Mapping[Any, Mapping[Any, Any]] | pd.DataFrame"

_MISSING = "–"
_LONG = 24  # characters that stay on one line, also where the page is narrow


def table(rows: Rows, caption: str = "", spec: str | Mapping[Any, str] = ",.1f", over: str = "seeds") -> None:
    """Show a table: `rows` maps each row's label to its cells, column by column, or is a DataFrame.

    A label that is a pair `(group, label)` stands under a heading for its group, among rows and among columns.
    A cell is a number, one number for each seed, an `Interval`, a `Finding`, text, or None where there is nothing.
    `spec`: how floats are written, for all columns or column by column; ".1%" shows shares as percentages, and then the
    column's header says "%". `over`: what was repeated, in words. Under the table stand what ± and the marks of findings mean, and whether Holm corrected them.

    Raises ValueError for an empty table, a percentage without "%" in its header, or several findings without `learning.holm`.
    """
    cells: dict[Any, dict[Any, Any]] = dict(rows) if isinstance(rows, Mapping) else rows.to_dict("index")
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    if not columns:
        raise ValueError("a table needs at least one row with one cell")
    specs = {column: spec if isinstance(spec, str) else spec.get(column, ",.1f") for column in columns}
    for column, chosen in specs.items():
        if chosen.endswith("%") and "%" not in str(column):
            raise ValueError(f"column {column!r} shows percentages: write (%) into its header")
    kept = {label: [_prepare(row.get(column)) for column in columns] for label, row in cells.items()}
    written = {
        label: [_write(cell, specs[column]) for cell, column in zip(row, columns, strict=True)]
        for label, row in kept.items()
    }
    texts = {at for at in range(len(columns)) if all(isinstance(row[at], str | None) for row in kept.values())}
    note = _note([cell for row in kept.values() for cell in row], over)
    cards.show(_text(written, columns, texts, caption, note), _html(written, columns, texts, caption, note))


def say(text: str) -> None:
    """Show a sentence that was computed, as Markdown; its text twin has no `**`."""
    cards.show(text.replace("**", ""), **{"text/markdown": text})


def _prepare(cell: Any) -> Any:
    """Turn what was measured over seeds into an Estimate, and leave everything else as it is."""
    from course_lib.learning import Finding, Interval

    if cell is None or isinstance(cell, str | bool | Finding):
        return cell
    if isinstance(cell, Interval | Mapping) or hasattr(cell, "__len__"):
        return estimate(cell)
    # NumPy's numbers are written like Python's.
    return cell.item() if hasattr(cell, "item") else cell


def _write(cell: Any, spec: str) -> str:
    from course_lib.learning import Finding

    if cell is None:
        return _MISSING
    if isinstance(cell, Finding):
        return _write_finding(cell, spec)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int) and not spec.endswith("%"):
        return f"{cell:,}"
    if not isinstance(cell, int | float | Estimate):
        return str(cell)
    shown = cell if isinstance(cell, Estimate) else estimate(cell)
    if spec.endswith("%"):
        shown, spec = shown.times(100), spec.removesuffix("%") + "f"
    return shown.words(spec)


def _write_finding(finding: "Finding", spec: str) -> str:
    mark = MARKS[finding.outcome]
    if finding.fixed:
        value = finding.fixed[0]
        return f"{value:,} {mark}" if isinstance(value, int) else f"{value:{spec}} {mark}"
    broke = f"{finding.broke} broke, " if finding.broke else ""
    if finding.shown is None:
        return f"{broke}too few left {mark}"
    spec = spec.removesuffix("%").removesuffix("f") + "f"
    sign = "" if finding.counted or finding.unit == "times" else "+"
    return f"{broke}{format(finding.shown, sign + spec)} {mark}"


def _note(cells: list[Any], over: str) -> str:
    """Say what ± and the marks mean."""
    from course_lib.learning import Finding

    seeds = {cell.seeds for cell in cells if isinstance(cell, Estimate) and cell.spreads}
    plain = f"± is half a 95% interval over {span(seeds)} {over}." if seeds else ""
    return f"{plain} {explained(cell for cell in cells if isinstance(cell, Finding))}".strip()


def _pair(label: Label) -> tuple[str, str]:
    return (str(label[0]), str(label[1])) if isinstance(label, tuple) else ("", str(label))


def _text(
    written: dict[Any, list[str]], columns: list[Any], texts: set[int], caption: str, note: str
) -> str:  # fmt: skip
    heads = [_pair(column) for column in columns]
    # A group's name stands over its first column.
    over = ["" if at and heads[at - 1][0] == group else group for at, (group, _) in enumerate(heads)]
    lines: list[tuple[str, list[str]]] = [("", over)] if any(over) else []
    lines.append(("", [name for _, name in heads]))
    group = ""
    for label, row in written.items():
        own, name = _pair(label)
        if own != group:
            lines.append((own, []))
        group = own
        lines.append(("  " + name if own else name, row))
    first = max(len(label) for label, _ in lines)
    widths = [max(len(row[at]) for _, row in lines if row) for at in range(len(columns))]
    aligned = [
        "  ".join([
            label.ljust(first),
            *(cell.ljust(widths[at]) if at in texts else cell.rjust(widths[at]) for at, cell in enumerate(row)),
        ]).rstrip()
        for label, row in lines
    ]  # fmt: skip
    return "\n".join([*filter(None, [caption]), *aligned, *filter(None, [note])])


def _html(
    written: dict[Any, list[str]], columns: list[Any], texts: set[int], caption: str, note: str
) -> str:  # fmt: skip
    heads = [_pair(column) for column in columns]
    sides = ["left" if at in texts else "right" for at in range(len(columns))]
    head = "".join(_cell("th", name, side, ' scope="col"') for (_, name), side in zip(heads, sides, strict=True))
    rows = [f"<tr><td></td>{head}</tr>"]
    if any(group for group, _ in heads):
        rows.insert(0, f"<tr><td></td>{_spanning(heads)}</tr>")
    body, last = [], ""
    for label, row in written.items():
        group, name = _pair(label)
        if group != last:
            across = f' colspan="{len(columns) + 1}" scope="rowgroup"'
            body.append(f"<tr>{_cell('th', group, 'left', across)}</tr>")
        last = group
        own, light = ' scope="row"', "; font-weight: normal" + ("; padding-left: 1.8em" if group else "")
        cells = "".join(_cell("td", cell, side) for cell, side in zip(row, sides, strict=True))
        body.append(f"<tr>{_cell('th', name, 'left', own, light)}{cells}</tr>")
    above = f'<caption style="caption-side: top; text-align: left">{escape(caption)}</caption>' if caption else ""
    below = f'<div style="font-size: 90%">{escape(note)}</div>' if note else ""
    made = (
        f'<table style="border-collapse: collapse; color: inherit">{above}<thead style="border-bottom: 1px solid">{"".join(rows)}</thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
    return scrolling(made, caption or "Table") + below


def scrolling(table: str, name: str) -> str:
    """Return a table's HTML in a box of its own, which scrolls where the page is narrow; `name` is read aloud.

    Tab reaches it, and then the arrow keys scroll it: JupyterLab would take them for its own.
    """
    return (
        f'<div role="group" tabindex="0" aria-label="{escape(name)}" data-lm-suppress-shortcuts="true" '
        f'style="overflow-x: auto; max-width: 100%">{table}</div>'
    )


def _spanning(heads: list[tuple[str, str]]) -> str:
    spans: list[tuple[str, int]] = []
    for group, _ in heads:
        if spans and spans[-1][0] == group:
            spans[-1] = (group, spans[-1][1] + 1)
        else:
            spans.append((group, 1))
    return "".join(_cell("th", group, "center", f' colspan="{wide}" scope="colgroup"') for group, wide in spans)


def _cell(kind: str, text: str, side: str, more: str = "", look: str = "") -> str:
    # Set here, since each front end aligns, squeezes and emphasises in its own way. Headers over columns and long text may wrap.
    wrap = "" if 'scope="col' in more or len(text) > _LONG else "; white-space: nowrap"
    style = f"text-align: {side}; padding: 0.2em 0.7em; vertical-align: bottom{wrap}{look}"
    return f'<{kind}{more} style="{style}">{escape(text)}</{kind}>'
