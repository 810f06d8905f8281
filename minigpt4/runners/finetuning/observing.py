"""What `minigpt4 finetune` says around a run: whether the texts can be learned, whether they were, and the report."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random

import torch

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import Config
from minigpt4.common.seeds import undisturbed
from minigpt4.datasets.assembly import build_image_processors, build_indexed
from minigpt4.datasets.config import TRAIN_SPLIT
from minigpt4.datasets.dataset import ChosenSamples
from minigpt4.datasets.loader import EvaluationLoader
from minigpt4.datasets.own_texts import read_own_texts
from minigpt4.evaluation.own_evaluation import evaluate_texts
from minigpt4.evaluation.own_report import PAGE, summary
from minigpt4.metrics.tally import Tally
from minigpt4.records.conversations import Sample
from minigpt4.runners.finetuning.learning import (
    SAMPLES,
    Measured,
    before_lines,
    foreign,
    not_learned,
    pieces_of,
)
from minigpt4.runners.finetuning.own_data import HELD_OUT
from minigpt4.runners.job import Job
from minigpt4.runners.precision import choose_precision
from minigpt4.tasks.image_text_pretrain import batch_size

log = logging.getLogger(__name__)

READ_TEXTS = 1000
"""samples whose pieces are counted"""
DATASET = "image_jsonl"


class OwnDataObserver:
    """Measures own data before and after, and asks about what was kept back.

    Args:
        config: of the run, as `run.yaml` says it.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._before: Measured | None = None
        self._answers: list[str] = []

    def before(self, job: Job, loaded: LoadedModel) -> None:
        if DATASET not in self._config.datasets:  # a run.yaml that somebody wrote anew
            return
        self._answers = _answers(self._config)
        self._before = _measured(self._config, job, loaded)
        if self._before is None or not job.group.is_first:
            return
        pieces = pieces_of(self._answers, loaded.tokenizer)
        for line in before_lines(pieces, self._before, loaded.vocab_size):
            log.info("%s", line)
        if warning := foreign(pieces, self._before, loaded):
            log.warning("warning: %s", warning)

    def after(self, job: Job, loaded: LoadedModel) -> None:
        after = _measured(self._config, job, loaded) if self._before is not None else None
        if self._before is None or after is None or not job.group.is_first:
            return
        gap = "" if after.image_gap is None else (f"; with the neighbour's image it is {max(0.0, after.image_gap):.2f} "
                                                  "worse")
        log.info("loss a token on the same samples: %.2f before, %.2f after training%s", self._before.loss, after.loss,
                 gap)
        for warning in not_learned(self._before, after, self._answers, loaded):
            log.warning("warning: %s", warning)
        self._report(job, loaded)

    def _report(self, job: Job, loaded: LoadedModel) -> None:
        """What was kept back, asked about."""
        info = self._config.datasets[DATASET].build_info
        if HELD_OUT not in info.splits:
            return
        held_out = info.at(HELD_OUT)
        data = read_own_texts(Path(held_out.storage), Path(held_out.annotations or ""))
        log.info("asking about the %d samples that were kept back …", len(data.samples))
        job.model.eval()
        folder = Path(job.run.output_dir)
        figures = evaluate_texts(loaded, data, folder, model=str(folder))
        for name, number, meaning in summary(figures):
            log.info("  %-10s %6s  %s", name, number, meaning)
        log.info("report: %s", folder / PAGE)


def _answers(config: Config) -> list[str]:
    """What the first samples teach."""
    dataset = build_indexed(DATASET, config.datasets[DATASET], TRAIN_SPLIT)
    samples = (dataset.sample(number) for number in range(min(len(dataset), READ_TEXTS)))
    return [turn.text for sample in samples if isinstance(sample, Sample) for turn in sample.conversation.turns
            if turn.role == "assistant"]


def _measured(config: Config, job: Job, loaded: LoadedModel) -> Measured | None:
    """The model as it is now on training samples; None where none of them can be read.

    The samples are drawn: texts are often sorted by what they show, and a neighbour of the same kind tells nothing.
    """
    dataset = build_indexed(DATASET, config.datasets[DATASET], TRAIN_SPLIT)
    numbers = Random(config.run.seed).sample(range(len(dataset)), min(SAMPLES, len(dataset)))
    processors = build_image_processors(config.datasets, TRAIN_SPLIT, loaded.image_spec, loaded.behaviour.train_crop)
    batches = EvaluationLoader(ChosenSamples(dataset, numbers), loaded.renderer, processors[DATASET],
                               batch_size=batch_size(config), seed=config.run.seed, max_positions=loaded.max_positions)
    tallies = dict.fromkeys(job.task.measures, Tally())
    precision = choose_precision(job.run, job.device)
    job.model.eval()
    with undisturbed(), torch.no_grad():
        for batch in batches:
            if batch.input_ids.shape[0]:
                with precision.autocast():
                    counted = job.task.measure(job.model, batch.to(job.device))
                tallies = {name: tally + counted[name] for name, tally in tallies.items()}
    loss = tallies["loss"].mean
    return None if loss is None else Measured(loss, tallies["image_gap"].mean)
