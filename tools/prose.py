"""What a lesson's text promises and quotes, held against what the notebook shows.

A number in the text that looks measured (it has a unit such as % or MB, a ±, or decimals) must be found in the notebook's stored outputs
or in its code, to the decimals in which it is written. A paragraph, list item or table row is left alone if it names a paper
(a link, "et al.", a name with a year, the words "paper" or "published"), or says why in a comment that readers do not see:
`<!-- not measured here: the paper's budget, five times ours -->`.
"""

import re
from collections.abc import Iterable, Iterator

from nbformat import NotebookNode

from tools.lessons import tags

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_JOIN = r"\s*(?:,|/|±|and|or|to|against|–)\s*"
_UNIT = r"\s?(?:%|(?:per cent|points?|[kMG]B|times|rounds?|seconds?|m?s)\b)"
_QUANTITY = re.compile(
    rf"(?<![\w.,*^-])[+-]?{_NUMBER}(?:(?:{_JOIN})[+-]?{_NUMBER})*{_UNIT}|[+-]?{_NUMBER}\s?±\s?{_NUMBER}"
    rf"|(?<![\w.,^-])\d+\.\d+(?:\s(?:to|–)\s{_NUMBER})?(?![\w.]*\w)"
)
_RANGE = re.compile(rf"({_NUMBER})\s*(?:to|–)\s*({_NUMBER})")
_PUBLISHED = re.compile(
    r"et al\.|\b[Pp]apers?\b|\b[Pp]ublished\b|https?://|\b[A-Z][a-z]+(?: and [A-Z][a-z]+)? \(?(?:19|20)\d\d\b"
)
_EXCUSED = re.compile(r"<!--\s*not measured here:\s*\w.*?-->", re.DOTALL)
# The level of every interval, all and nothing, and the course's margin.
_COMMON = {"95 %", "100 %", "0 %", "1 point", "0 points"}
# In which other unit a number may have been shown: shares for percentages, bytes for megabytes, seconds for milliseconds.
_SCALES = {"%": 100, "point": 100, "±": 100, "kB": 1e-3, "MB": 1e-6, "GB": 1e-9, "ms": 1e3}


def numbers(master: NotebookNode, notebook: NotebookNode) -> list[str]:
    """Return the numbers in a lesson's text that look measured and are found in no output and no code of its notebook."""
    shown = _values(_outputs(notebook))
    set_here = _values(cell.source.replace("_", "") for cell in master.cells if cell.cell_type == "code")
    found = []
    for cell in master.cells:
        if cell.cell_type == "markdown":
            for block in _blocks(cell.source):
                if quoted := list(_unfounded(block, shown, set_here)):
                    found.append(
                        f"{', '.join(quoted)}: in no stored output and not in the code. Compute it (classroom.say), leave it out, or "
                        f'say why it stands (<!-- not measured here: ... -->): "{" ".join(block.split())[:60]}..."'
                    )
    return found


def timing(master: NotebookNode) -> list[str]:
    """Return where the opening's minutes and the instructor notes' timing disagree."""
    opening = re.search(r"\b(\d+) minutes", "\n".join(c.source for c in master.cells[:3] if c.cell_type == "markdown"))
    notes = "\n\n".join(cell.source for cell in master.cells if "instructor" in tags(cell))
    timed = re.search(r"\*\*Timing\*\* \((\d+) minutes\):(.*?)\.(?:\s|$)", notes, re.DOTALL)
    if not opening or not timed:
        return [
            "minutes: the opening says 'N minutes', and the notes '**Timing** (N minutes): opening 5, ...' up to a full stop"
        ]
    parts = [int(minutes) for minutes in re.findall(r"\s(\d+)(?=\s*(?:,|;|$))", timed[2])]
    if {int(opening[1]), int(timed[1])} != {sum(parts)}:
        return [
            f"minutes: the opening has {opening[1]}, the notes {timed[1]}, and their parts {parts} add up to {sum(parts)}"
        ]
    return []


def wording(notebook: NotebookNode, existing: Iterable[str]) -> list[str]:
    """Return what learners cannot follow: notes that they do not have, lessons that do not exist, statements by number only.

    `existing`: the lessons' file names without ending, such as "00_two_ways".
    """
    stems = set(existing)
    known = {stem[:2] for stem in stems}
    found = []
    for cell in notebook.cells:
        if cell.cell_type != "markdown" or "instructor" in tags(cell):
            continue
        text = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
        if re.search(r"(?i)\binstructors?(?:'s?)? notes?\b", text):
            found.append(f"{_where(cell)} sends learners to the instructor notes, which they do not have")
        for target in re.findall(r"\]\((?:\./)?(\d\d_\w+)\.(?:ipynb|md)\)", text):
            if target not in stems:
                found.append(f"{_where(cell)} links to {target}, which does not exist")
        for number in re.findall(r"(?i)\blessons? (\d\d)\b", text):
            if number not in known:
                found.append(f"{_where(cell)} speaks of lesson {number}, which does not exist yet")
        for named in re.finditer(r"\b[Ss]tatements? (\d+)\b(?!\s*\(|:\s)", text):
            found.append(f'{_where(cell)} names statement {named[1]} by its number only: "{named[0]} (what it says)"')
    return found


def _unfounded(block: str, shown: set[float], set_here: set[float]) -> Iterator[str]:
    if _PUBLISHED.search(block) or _EXCUSED.search(block):
        return
    text = re.sub(r"`[^`]*`|\$[^$]*\$|<!--.*?-->", " ", block, flags=re.DOTALL).replace("**", "")
    text = text.replace("−", "-")
    for match in _QUANTITY.finditer(text):
        quoted = " ".join(match[0].split())
        unit = next((unit for unit in ("ms", "kB", "MB", "GB", "point", "%", "±") if unit in quoted), "")
        scale = _SCALES.get(unit, 1)
        between = _RANGE.search(quoted)
        if between and "±" not in quoted:
            low, high = (float(each.replace(",", "")) for each in between.groups())
            if any(low <= value <= high for value in _in_unit(shown, scale)):
                continue
        for written in re.findall(_NUMBER, quoted):
            if f"{written} {'%' if unit == '%' else unit}" in _COMMON or f"{written} {unit}s" in _COMMON:
                continue
            if not _is_found(written, _in_unit(shown | set_here, scale)):
                yield quoted
                break


def _in_unit(values: set[float], scale: float) -> set[float]:
    """Return the values as they are, and those that can have been meant in the other unit in this one."""
    # A share is at most 1; what is shown in bytes is at least a thousand of them.
    return values | {scale * value for value in values if scale != 1 and (value <= 1 if scale > 1 else value >= 1000)}


def _is_found(written: str, values: set[float]) -> bool:
    value, decimals = float(written.replace(",", "")), len(written.partition(".")[2])
    near = 0.5 * 10**-decimals * (1 + 1e-9) + 1e-9
    return any(abs(one - value) <= near for one in values)


def _values(texts: Iterable[str]) -> set[float]:
    return {
        float(number.replace(",", ""))
        for text in texts
        for number in re.findall(rf"{_NUMBER}(?:e[+-]?\d+)?", text)
    }  # fmt: skip


def _outputs(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield str(output.get("text", ""))
            yield str(output.get("data", {}).get("text/plain", ""))


def _blocks(text: str) -> list[str]:
    """Return paragraphs, list items and table rows: what one reads together."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [block for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.)\s?)", text) if block.strip()]


def _where(cell: NotebookNode) -> str:
    first = str(cell.source).strip().split("\n", 1)[0]
    return f'text "{first[:50]}"'
