"""An interrupted cell says so in one card, instead of a traceback through the library and PyTorch."""

import sys
from typing import Any

from course_lib.classroom import cards

SENTENCE = (
    "Interrupted. Nothing is left running. Run the cell again to start over; runs that `study.run` has stored are kept."
)


def show_as_card() -> None:
    """From now on, show SENTENCE where an interrupt ends a cell of this kernel; does nothing outside a kernel.

    The cell has failed all the same, so those that wait behind it do not run; other errors are shown as before.
    """
    if cards.in_notebook():
        sys.modules["IPython"].get_ipython().set_custom_exc((KeyboardInterrupt,), _show)


def _show(shell: Any, *_error: Any, tb_offset: int | None = None) -> None:
    shell._last_traceback = None  # of an earlier cell, which the kernel would send along with this one's failure
    cards.show_card("partly", SENTENCE)
