"""Take the README's picture out of lesson 15's notebook, so that it shows what the course measured.

python -m tools.picture
"""

import base64
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "dial.png"
_TITLE = "The dial"
_SHOWN = re.compile(r"!\[[^]]*\]\(docs/\w+\.png\)")


def extract(notebook: Path) -> tuple[bytes, str]:
    """Return the PNG of the figure with that title, and its summary in words. Raises ValueError where there is none."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            image = re.search(r'base64,([^"]+)"', shown.get("text/html", ""))
            if image and shown["text/plain"].startswith(_TITLE):
                return base64.b64decode(image[1]), shown["text/plain"]
    raise ValueError(f"{notebook} shows no figure titled {_TITLE!r}: build it with `make notebooks`")


def main() -> None:
    """Write the picture, and put it into the README, with its summary as alternative text, in the place of the one that is there."""
    (notebook,) = (ROOT / "notebooks").glob("15_*.ipynb")
    image, summary = extract(notebook)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(image)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(_SHOWN.sub(lambda _: f"![{summary}](docs/{PICTURE.name})", text, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
