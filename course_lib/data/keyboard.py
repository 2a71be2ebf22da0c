"""English prose on every machine: the docstrings of Python's standard library. Each module is someone who types."""

import ast
import re
import sysconfig
from functools import cache
from pathlib import Path

# In every Python from 3.11 on, each with over 3,000 characters, and without tests of its own beside it.
MODULES = (
    "argparse", "ast", "asyncio", "base64", "bdb", "bz2", "cmd", "code", "codecs", "collections", "concurrent",
    "configparser", "contextlib", "difflib", "doctest", "email", "enum", "fileinput", "fractions", "ftplib",
    "functools", "http", "imaplib", "importlib", "inspect", "ipaddress", "json", "locale", "logging", "mimetypes",
    "optparse", "os", "pathlib", "pdb", "pickletools", "pkgutil", "platform", "random", "re", "shutil", "smtplib",
    "socket", "socketserver", "ssl", "statistics", "subprocess", "tarfile", "tempfile", "textwrap", "threading",
    "timeit", "traceback", "typing", "urllib", "uuid", "wave", "wsgiref", "xml", "xmlrpc", "zipfile",
)  # fmt: skip

_PARAGRAPHS = re.compile(r"\n\s*\n")
_DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache  # reading the sources takes a second
def paragraphs() -> dict[str, list[str]]:
    """Return the paragraphs of the docstrings of each of MODULES.

    The sources are parsed and nothing is imported: some modules act when they are. They differ a little between versions of
    Python, so compare runs within one. Raises FileNotFoundError where Python was installed without its sources.
    """
    library = Path(sysconfig.get_path("stdlib"))
    return {module: _module(library, module) for module in MODULES}


def _module(library: Path, name: str) -> list[str]:
    package = library / name
    files = sorted(package.rglob("*.py")) if package.is_dir() else [library / f"{name}.py"]
    if not files or not files[0].is_file():
        raise FileNotFoundError(
            f"the keyboard data set is made of the sources of Python's standard library, but {library} has no {name}: "
            "install a Python that comes with its sources, such as that of python.org or conda"
        )
    found: list[str] = []
    for file in files:
        _collect(ast.parse(file.read_bytes()), found)
    return [paragraph for docstring in found for paragraph in _PARAGRAPHS.split(docstring)]


def _collect(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, found: list[str]) -> None:
    """Append the docstring of `node` and of what is defined directly in it, in the order of the source."""
    docstring = ast.get_docstring(node)
    if docstring:
        found.append(docstring)
    for inner in node.body:
        if isinstance(inner, _DOCUMENTED):
            _collect(inner, found)
