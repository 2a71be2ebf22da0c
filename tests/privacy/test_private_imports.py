"""What makes a run private imports neither Opacus nor scipy until somebody asks for an epsilon; cryptography comes with its protocol."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_importing_privacy_brings_in_no_heavy_package() -> None:
    code = (
        "import json, pkgutil, importlib, sys, course_lib.privacy as privacy\n"
        "parts = [part.name for part in pkgutil.iter_modules(privacy.__path__) if part.name != 'secure_aggregation']\n"
        "for part in parts: importlib.import_module(f'course_lib.privacy.{part}')\n"
        "heavy = ('opacus', 'scipy', 'sklearn', 'matplotlib', 'dp_accounting', 'cryptography')\n"
        "print(json.dumps([parts, [name for name in heavy if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    parts, heavy = json.loads(done.stdout)
    assert {"accounting", "example_level"} <= set(parts) and heavy == []
