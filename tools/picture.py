"""Take the README's picture out of lesson 00's notebook, so that it shows what the course measured.

python -m tools.picture
"""

import base64
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "three_ways.png"
_TITLE = "Accuracy against everything that was sent"


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
    """Write the picture, and its summary into the README as alternative text."""
    (notebook,) = (ROOT / "notebooks").glob("00_*.ipynb")
    image, summary = extract(notebook)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(image)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(
        re.sub(r"!\[[^]]*\]\(docs/three_ways.png\)", f"![{summary}](docs/three_ways.png)", text), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
