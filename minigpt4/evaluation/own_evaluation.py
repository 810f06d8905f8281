"""A model asked about own texts, from samples to the report, for `eval --texts` and for `finetune --hold-out`."""

from __future__ import annotations

from pathlib import Path

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.datasets.own_texts import OwnTexts
from minigpt4.evaluation.asking import Advance
from minigpt4.evaluation.own_report import Asked, write_report
from minigpt4.evaluation.own_texts import TextFigures, ask, longest_answer, questions_of
from minigpt4.generation.settings import DecodingSettings


def evaluate_texts(loaded: LoadedModel, data: OwnTexts, folder: Path, *, model: str, batch_size: int = 8,
                   advance: Advance = lambda number: None) -> TextFigures:
    """Ask everything the texts ask, greedily, and write the report.

    Args:
        loaded: the model.
        data: images and texts that were read.
        folder: where `report.html` and `report.json` are written.
        model: what the report calls the model.
        batch_size: questions per batch.
        advance: called with the number of new answers; `number_of_questions` in all.

    Returns:
        the figures of the report.
    """
    questions = questions_of(data.samples, loaded.renderer)
    settings = DecodingSettings(max_new_tokens=longest_answer(questions, loaded.tokenizer))
    results = ask(loaded, questions, settings, batch_size=batch_size, advance=advance)
    return write_report(folder, Asked(model, data.texts, data.images), results)


def number_of_questions(loaded: LoadedModel, data: OwnTexts) -> int:
    """How many answers `evaluate_texts` asks for."""
    return len(questions_of(data.samples, loaded.renderer))
