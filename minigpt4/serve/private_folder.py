"""A folder of this process alone, where gradio keeps what it would leave in the temporary folder for good."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "GRADIO_TEMP_DIR"
"""gradio reads it whenever it judges or stores a file"""
PREFIX = "minigpt4_page_"


class PrivateFolder:
    """Made, named to gradio, and removed by `remove` or at the end of the process.

    Several pages of one process share the folder of the first, since gradio knows one only.
    """

    def __init__(self) -> None:
        known = os.environ.get(VARIABLE, "")
        self._owned = not (Path(known).name.startswith(PREFIX) and Path(known).is_dir())
        if self._owned:
            self._before = known
            known = os.environ[VARIABLE] = os.path.realpath(tempfile.mkdtemp(prefix=PREFIX))
            atexit.register(self.remove)
        self.path = Path(known)

    def remove(self) -> None:
        """Delete everything in it; a second call does nothing."""
        if not self._owned:
            return
        self._owned = False
        shutil.rmtree(self.path, ignore_errors=True)  # an upload may still arrive while the server ends
        if self._before:
            os.environ[VARIABLE] = self._before
        else:
            os.environ.pop(VARIABLE, None)
