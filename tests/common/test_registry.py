"""Names are told apart, unknown ones answered, and outsiders find their way in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from minigpt4.common import registry
from minigpt4.common.config import load_fragment
from minigpt4.common.errors import UserError
from minigpt4.common.registry import Registry


@pytest.fixture
def kinds() -> Registry[type]:
    kinds: Registry[type] = Registry("connector", __name__)
    kinds.add("linear", int)
    return kinds


def test_unknown_names_are_answered_with_the_nearest(kinds: Registry[type]) -> None:
    with pytest.raises(UserError, match="^unknown connector 'liner'; did you mean 'linear'[?]$"):
        kinds.get("liner")
    with pytest.raises(UserError, match="^run.yaml:3: unknown connector 'xyz'; known: linear$"):
        kinds.get("xyz", where="run.yaml:3")


def test_a_name_is_taken_once(kinds: Registry[type]) -> None:
    with pytest.raises(UserError, match="connector 'linear' is already builtins.int; builtins.str asks"):
        kinds.add("linear", str)
    kinds.add("linear", int)  # the same thing again: a module imported twice


@pytest.fixture
def put_back() -> Iterator[None]:
    """What a test registers is gone after it."""
    kinds = (registry.systems, registry.builders)
    before = [(kind, kind.names()) for kind in kinds]
    yield
    for kind, names in before:
        for name in set(kind.names()) - set(names):
            del kind._things[name]


def test_lavis_names_mean_the_same_registries(put_back: None) -> None:
    @registry.registry.register_builder("lavis_style")
    class Mine:
        pass

    assert registry.registry.get_builder_class("lavis_style") is registry.builders.get("lavis_style") is Mine
    assert "lavis_style" in registry.registry.list_datasets()


OUTSIDE = '''
from dataclasses import dataclass
from minigpt4.common.registry import registry

@dataclass(frozen=True, kw_only=True)
class SquareConfig:
    """A model from outside."""
    arch: str = "outside_square"
    model_type: str = "small"
    side: int = 1
    """its side"""

@registry.register_model("outside_square")
class Square:
    Config = SquareConfig
    default_yaml = {"small": "square.yaml"}

@dataclass(frozen=True, kw_only=True)
class HeapConfig:
    """A data set from outside."""
    folder: str = ""
    """where it is"""

@registry.register_builder("outside_heap")
class Heap:
    Config = HeapConfig
    default_yaml = {"default": "heap.yaml"}
'''


def test_a_model_and_a_data_set_come_from_outside(put_back: None, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """One class and one YAML each, beside each other, named under `imports:`; nothing of ours is touched."""
    (tmp_path / "outside_parts.py").write_text(OUTSIDE)
    (tmp_path / "square.yaml").write_text("model: {arch: outside_square, side: 7}\n")
    (tmp_path / "heap.yaml").write_text("datasets: {outside_heap: {folder: here}}\n")
    run = tmp_path / "run.yaml"
    run.write_text("imports: [outside_parts]\nmodel: {arch: outside_square}\ndatasets: {outside_heap: {}}\n")
    monkeypatch.syspath_prepend(tmp_path)

    config = load_fragment(run)

    assert config.model.side == 7
    assert config.datasets["outside_heap"].folder == "here"
