"""The toy system, and a function that writes a YAML and loads it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt4.common.config import Config, load_config
from tests.common.config.toys import register_toys


@pytest.fixture(autouse=True)
def toys() -> None:
    register_toys()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """write(text) -> run.yaml in an empty working folder that has a folder `llm`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llm").mkdir()

    def write_yaml(text: str, name: str = "run.yaml") -> Path:
        Path(name).write_text(textwrap.dedent(text))
        return Path(name)

    return write_yaml


@pytest.fixture
def load(write: Callable[..., Path]) -> Callable[..., Config]:
    """load(text, *options, sections=…) -> Config."""

    def load_yaml(text: str, *options: str, sections: tuple[str, ...] = ("model", "datasets", "run")) -> Config:
        return load_config(write(text), options, sections=sections)

    return load_yaml
