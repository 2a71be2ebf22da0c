"""The course works away from its repository: from a wheel, in a clean environment, as on Colab."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(nbformat.__file__).parents[1]  # the site-packages of the environment that runs the tests

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository without what builds left behind: setuptools would pack it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("course_lib", "tests", "tools", "benchmarks", "binder"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, checkout)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """A new environment with every package of this one, by link, except the course; return its Python."""
    venv.create(tmp_path / "clean", symlinks=True)
    python = tmp_path / "clean" / "bin" / "python"
    packages = site_packages(python)
    for entry in HERE.iterdir():
        if not entry.name.startswith(("dml_vs_fl", "__editable__", "__pycache__")) and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    assert call(python, "-c", "import importlib.util as u; print(u.find_spec('course_lib'))").strip() == "None"
    return python


def call(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run a command outside the repository; return what it printed, or fail with it."""
    done = subprocess.run(
        command, cwd=cwd or "/", env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(**variables: str) -> dict[str, str]:
    # Nothing may come from an index: what the course needs is here.
    return (
        {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PIP_NO_INDEX": "1"} | variables
    )


def site_packages(python: Path) -> Path:
    return Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())


def run_away_from_the_repository(folder: Path, python: Path, cells: int | None = None, **variables: str) -> Path:
    """Run a copy of a notebook, or its first `cells`, in `folder` with this Python; return where `course_lib` came from."""
    folder.mkdir()
    smallest = min((ROOT / "notebooks").glob("[0-9]*.ipynb"), key=lambda path: path.stat().st_size)
    notebook = nbformat.read(shutil.copy(smallest, folder), as_version=4)
    notebook.cells = notebook.cells[:cells]
    notebook.cells.append(nbformat.v4.new_code_cell("import course_lib; print(course_lib.__file__)"))
    kernels = folder / "kernels"
    command = f'["{python}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"]'
    (kernels / "clean").mkdir(parents=True)
    (kernels / "clean" / "kernel.json").write_text(
        f'{{"argv": {command}, "display_name": "clean", "language": "python"}}'
    )
    manager = AsyncKernelManager(
        kernel_name="clean",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(kernels)], ensure_native_kernel=False),
    )
    client = NotebookClient(notebook, km=manager, timeout=280, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment(MPLBACKEND="agg", **variables))
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    return Path(notebook.cells[-1].outputs[0].text.strip())


def test_the_wheel_holds_the_whole_library_and_nothing_else(wheel: Path) -> None:
    files = (path for path in (ROOT / "course_lib").rglob("*") if path.is_file() and path.suffix != ".pyc")
    written = {str(path.relative_to(ROOT)) for path in files}
    assert len(written) > 30
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert {name for name in packed if not name.startswith("dml_vs_fl-")} == written
    assert any(name.endswith("licenses/LICENSE") for name in packed)


def test_where_the_wheel_is_installed_the_first_cell_leaves_it_alone(wheel: Path, clean: Path, tmp_path: Path) -> None:
    call(clean, "-m", "pip", "install", "--quiet", wheel)
    # With a source that does not exist, the first cell would fail if it installed anything.
    came_from = run_away_from_the_repository(tmp_path / "away", clean, cells=6, COURSE_LIB_SOURCE="/no/such.whl")
    assert came_from == site_packages(clean) / "course_lib" / "__init__.py"


def test_where_the_course_is_missing_the_first_cell_installs_it_and_the_notebook_runs_to_its_end(
    wheel: Path, clean: Path, tmp_path: Path
) -> None:
    came_from = run_away_from_the_repository(tmp_path / "away", clean, COURSE_LIB_SOURCE=str(wheel))
    assert came_from == site_packages(clean) / "course_lib" / "__init__.py"


def test_binders_last_step_installs_the_course_beside_its_packages(checkout: Path, clean: Path) -> None:
    (clean.parent / "pip").write_text(f'#!/bin/sh\nexec {clean} -m pip "$@"\n')
    (clean.parent / "pip").chmod(0o755)
    call("binder/postBuild", cwd=checkout, PATH=f"{clean.parent}{os.pathsep}{os.environ['PATH']}")
    came_from = call(clean, "-c", "import course_lib; print(course_lib.__file__)").strip()
    assert Path(came_from) == checkout / "course_lib" / "__init__.py"
