"""The files of one load, each opened once and shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minigpt4.common.errors import UserError
from minigpt4.weights.files.kinds import refuse_folder, refuse_special
from minigpt4.weights.files.readers import open_weights, read_json
from minigpt4.weights.files.tensor_file import TensorFile

CONFIG = "config.json"


class Sources:
    """Made at the beginning of a load, dropped at its end: files stay open for as long as it lives."""

    def __init__(self) -> None:
        self._weights: dict[Path, TensorFile] = {}
        self._contents: dict[Path, bytes] = {}

    def weights(self, path: str | Path) -> TensorFile:
        """The opened weights of a file or folder. Raises `UserError` as `open_weights` does."""
        path = Path(path)
        if path not in self._weights:
            self._weights[path] = open_weights(path)
        return self._weights[path]

    def json(self, path: Path) -> Any:
        """The content of a JSON file. Raises `UserError` as `read_json` does."""
        return read_json(path, self.read)

    def read(self, path: Path) -> bytes:
        """The content of a small file. Raises `OSError` if there is none, `UserError` for anything but a file."""
        if path not in self._contents:
            refuse_special(path)
            self._contents[path] = path.read_bytes()
        return self._contents[path]

    def config_json(self, folder: str | Path) -> dict[str, Any]:
        """The config.json of a model's folder.

        Raises:
            UserError: there is none, or the folder contains something else.
        """
        folder = Path(folder)
        if folder.is_dir() and not (folder / CONFIG).exists():
            refuse_folder(folder)
        return self.values(folder / CONFIG)

    def values(self, path: Path) -> dict[str, Any]:
        """The values of a model in a JSON file. Raises `UserError` if it holds anything but an object."""
        values = self.json(path)
        if not isinstance(values, dict):
            raise UserError("file.json", where=str(path), fix="download or copy it again",
                            what=f"is a {type(values).__name__}, not the values of a model")
        return values
