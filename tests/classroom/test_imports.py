"""The classroom is light to import: what draws and what shows is loaded when it is used."""

import subprocess
import sys


def test_importing_the_classroom_loads_no_plotting_notebook_or_learning_package() -> None:
    heavy = "{'IPython', 'ipywidgets', 'jupyterquiz', 'matplotlib', 'pandas', 'scipy', 'sklearn', 'torch', 'tqdm'}"
    program = f"import sys\nfrom course_lib import classroom\nprint(sorted({heavy} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"
