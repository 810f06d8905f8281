"""A folder of this process alone, where gradio keeps what it would leave in the temporary folder for good."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "GRADIO_TEMP_DIR"
"""gradio reads it when it is imported, and whenever it judges or stores a file"""
TORCH_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
"""torch makes this folder at its import; nothing is compiled here"""
PREFIX = "minigpt4_page_"


class PrivateFolder:
    """Made, named to gradio, and removed by `remove`, at the end of a `with`, or at the end of the process.

    Best made before gradio and torch are imported. Several of one process are the folder of the first, since gradio
    knows one only.
    """

    def __init__(self) -> None:
        known = os.environ.get(VARIABLE, "")
        prefix = f"{PREFIX}{os.getpid()}_"  # a program that this one starts is told its folder, and needs another
        self._owned = not (Path(known).name.startswith(prefix) and Path(known).is_dir())
        if self._owned:
            self._before = known
            known = os.environ[VARIABLE] = os.path.realpath(tempfile.mkdtemp(prefix=prefix))
            os.environ.setdefault(TORCH_VARIABLE, os.path.join(known, "torch"))
            atexit.register(self.remove)
        self.path = Path(known)

    def __enter__(self) -> PrivateFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Delete everything in it; a second call does nothing."""
        if not self._owned:
            return
        self._owned = False
        shutil.rmtree(self.path, ignore_errors=True)  # an upload may still arrive while the server ends
        if os.environ.get(TORCH_VARIABLE, "").startswith(str(self.path)):
            del os.environ[TORCH_VARIABLE]
        if self._before:
            os.environ[VARIABLE] = self._before
        else:
            os.environ.pop(VARIABLE, None)
