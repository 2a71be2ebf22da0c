"""Binder's own builder accepts binder/, and pip accepts what it would be given there."""

import subprocess
import sys
from pathlib import Path

import pytest
from repo2docker.app import Repo2Docker

from tools.environments import CPU_TORCH

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture
def dockerfile(monkeypatch: pytest.MonkeyPatch) -> str:
    """What repo2docker would build the repository with, for Linux."""
    monkeypatch.chdir(ROOT)
    builder = Repo2Docker()
    packs = (pack(builder.base_image) for pack in builder.buildpacks)
    chosen = next(pack for pack in packs if pack.detect())
    assert type(chosen).__name__ == "PythonBuildPack", "environment.yml or pyproject.toml took over from binder/"
    chosen.platform = "linux/amd64"
    return str(chosen.render({}))


def test_repo2docker_builds_with_python_3_11_from_binder_requirements(dockerfile: str) -> None:
    assert "py-2d3-2e11-2dlinux" in dockerfile  # environment.py-3.11-linux-64.lock, escaped
    assert 'pip install --no-cache-dir -r "binder/requirements.txt"' in dockerfile


def test_the_layer_of_packages_survives_a_change_to_the_lessons(dockerfile: str) -> None:
    packages = dockerfile.index('-r "binder/requirements.txt"')
    assert (
        packages
        < dockerfile.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/")
        < dockerfile.index("RUN ./binder/postBuild")
    )


def test_pip_reads_binders_requirements_and_finds_them_met_here() -> None:
    requirements = ROOT / "binder" / "requirements.txt"
    assert f"--extra-index-url {CPU_TORCH}" in requirements.read_text().splitlines()
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-index", "-r", requirements],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout
    assert done.stdout.count("Requirement already satisfied") > 50
