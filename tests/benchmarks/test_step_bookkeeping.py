"""The benchmark of a step's host work does a step: it learns, and its figure is a time."""

from __future__ import annotations

import pytest

from benchmarks import step_bookkeeping


def test_its_step_moves_the_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_bookkeeping, "STEPS", 2)
    models = []
    built = step_bookkeeping.tiny_layers

    def kept(*, llm_trains: bool) -> object:
        models.append(built(llm_trains=llm_trains))
        return models[-1]

    monkeypatch.setattr(step_bookkeeping, "tiny_layers", kept)
    assert step_bookkeeping.milliseconds_of_a_step(llm_trains=False) > 0
    moved, fresh = (model.parts()["connector"].projection.weight for model in (models[0], built(llm_trains=False)))
    assert not moved.equal(fresh)
    assert {name: len(layers) for name, layers in {
        "vision": models[0].parts()["vision"].model.encoder.layers, "llm": models[0].llm.model.model.layers}.items()
            } == {"vision": 39, "llm": 32}
