"""The task that makes the tiny vision encoder and Q-Former: tell what is in each quarter of an image.

There is nothing to learn in the reading of the labels: each value of each attribute has a fixed direction, all of them
at right angles. So kind, colour, size, count, place and background stand side by side in the tokens, each readable
without the others, and a linear layer that learns them on some combinations has learned them for all.

N images, P places of tokens, A attributes, W width. The vision encoder is read at the mean of each quarter's patches,
the Q-Former at its queries: the first quarter of the queries tells the first quarter of the image, and so on. What
is true of an image as a whole is told by all its places. No language model is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import Config
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place
from minigpt4.common.registry import tasks
from minigpt4.metrics.tally import Tally
from minigpt4.records.batches import IGNORED_LABEL, Batch, Output
from minigpt4.scenes.builders.drawn_scenes import DrawnScenesConfig
from minigpt4.scenes.builders.labelled_photographs import LabelledPhotographsConfig
from minigpt4.scenes.labels import ATTRIBUTES, NOTHING, QUARTERS, WHOLE
from minigpt4.scenes.photographs.photograph import UNKNOWN
from minigpt4.scenes.scene import QUADRANTS
from minigpt4.tasks.image_text_pretrain import Describe, ImageTextPretrain
from minigpt4.tasks.task import Caption

MEASURED = ("kind", "colour", "size", "count")

MEASURED_OF_WHOLE = ("subject", "refused", "main_colour", "unknown")
"""of photographs: subject read rightly, read as unknown, main colour read rightly; of other images: read as unknown"""

LEARNERS = ("vision", "resampler")
"""parts whose tokens are read"""
NUM_PLACES = len(QUADRANTS)
KIND, COLOUR = (list(ATTRIBUTES).index(name) for name in ("kind", "colour"))
LOGIT_SCALE = 2.0
"""logits are this times what a token has in a value's direction; tokens leave their last norm with entries near 1"""
NOISE = 0.1
"""deviation of what is added to tokens in training: what can be read in spite of it stands out clearly"""
DIRECTIONS_SEED = 1
LABEL_SMOOTHING = 0.05


@tasks.register("scene_labels_pretrain")
class SceneLabelsPretrain:
    """Labels of every quarter.

    Args: as `ImageTextPretrain`, which brings the data. Raises `UserError` if data or sizes do not fit the task.
    """

    measures = ("loss", *(f"{part}_{name}" for part in ("vision", "query")
                          for name in (*MEASURED, "all", *MEASURED_OF_WHOLE)))

    def __init__(self, config: Config, loaded: LoadedModel, place: Place, describe: Describe | None = None) -> None:
        _check(config, loaded)
        self._data = ImageTextPretrain(config, loaded, place)
        self.ledger = self._data.ledger
        parts: Mapping[str, Any] = loaded.model.parts()
        self._directions = {width: directions(width) for width in {parts[name].out_width for name in LEARNERS}}

    def report(self) -> list[str]:
        return [*self._data.report(), "learns labels"]

    def data_identities(self) -> dict[str, str]:
        return self._data.data_identities()

    def batches_per_epoch(self, begun_on: int | None = None) -> int:
        return self._data.batches_per_epoch(begun_on)

    def training_batches(self, position: int, begun_on: int | None = None) -> Iterator[Batch]:
        return self._data.training_batches(position, begun_on)

    def output(self, model: nn.Module, batch: Batch) -> Output:
        """The labels' loss once for every token of the answers, so that the mean is their sum."""
        tokens = self._tokens(model, batch)
        labels = batch.targets[QUARTERS]
        losses = [self._label_loss(each, labels) for each in tokens.values()]
        total = torch.stack(losses).sum() * batch.num_supervised
        return Output(total, batch.num_supervised)

    def evaluation_batches(self, split: str, limit: int | None) -> Iterable[Batch]:
        return self._data.evaluation_batches(split, limit)

    def measure(self, model: nn.Module, batch: Batch) -> dict[str, Tally]:
        """The loss, and how many groups are read rightly: by each attribute, and by all of them at once."""
        labels = batch.targets[QUARTERS]
        output = self.output(model, batch)
        tallies = {"loss": Tally(float(output.loss_sum), output.num_tokens)}
        for part, tokens in self._tokens(model, batch).items():
            for name, right in self._right(tokens, labels).items():
                tallies[f"{part}_{name}"] = Tally(float(right.sum()), right.numel())
        return tallies

    def captions(self, split: str) -> list[Caption]:
        return []

    def _tokens(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """[N, 4, W] means of the vision encoder's patches in each quarter (in all of them where the labels speak of the
        whole image), [N, Q, W] the Q-Former's queries."""
        path: Any = model.visual_path
        found = path.values(self._data.images_of(batch), LEARNERS)
        quarters = quarter_means(found["vision"])
        whole = is_whole(batch.targets[QUARTERS]).view(-1, 1, 1)
        vision = torch.where(whole, quarters.mean(dim=1, keepdim=True), quarters)
        return {"vision": vision, "query": found["resampler"]}

    def _label_loss(self, tokens: Tensor, labels: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            tokens = tokens + NOISE * torch.randn_like(tokens)
        spread = labels.repeat_interleave(tokens.shape[1] // NUM_PLACES, dim=1)
        losses = [F.cross_entropy(logits.flatten(0, 1), spread[:, :, index].flatten(), ignore_index=IGNORED_LABEL,
                                  label_smoothing=LABEL_SMOOTHING)
                  for index, logits in enumerate(self._logits(tokens))]
        return torch.stack(losses).sum()

    def _logits(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """tokens [N, P, W] -> for each attribute [N, P, values]"""
        readable = tokens.float() @ self._directions[tokens.shape[-1]].to(tokens.device)
        return (LOGIT_SCALE * readable).split([len(values) for values in ATTRIBUTES.values()], dim=-1)

    def _right(self, tokens: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """For every group of the batch whether it is read rightly; queries of the same quarter decide together."""
        places = tokens.unflatten(1, (NUM_PLACES, -1)).mean(dim=2)
        read = torch.stack([logits.argmax(dim=-1) for logits in self._logits(places)], dim=-1)
        whole = is_whole(labels)
        right = (read == labels)[(labels[:, :, KIND] != ATTRIBUTES["kind"].index(NOTHING)) & ~whole.unsqueeze(1)]
        columns = {name: right[:, list(ATTRIBUTES).index(name)] for name in MEASURED}
        scenes = {**columns, "all": torch.stack(list(columns.values())).all(dim=0)}
        return scenes | self._right_of_whole(tokens[whole], labels[whole])

    def _right_of_whole(self, tokens: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The same for photographs, by all their tokens together."""
        logits = self._logits(tokens.mean(dim=1, keepdim=True))
        subject, colour = (logits[index].argmax(dim=-1)[:, 0] for index in (KIND, COLOUR))
        unknown = ATTRIBUTES["kind"].index(UNKNOWN)
        known = labels[:, 0, KIND] != unknown
        return {
            "subject": (subject == labels[:, 0, KIND])[known], "refused": (subject == unknown)[known],
            "main_colour": (colour == labels[:, 0, COLOUR])[known], "unknown": (subject == unknown)[~known],
        }


def directions(width: int) -> Tensor:
    """[W, values of all attributes] of length 1 and at right angles; the same for everybody."""
    generator = torch.Generator().manual_seed(DIRECTIONS_SEED)
    orthogonal, _ = torch.linalg.qr(torch.randn(width, width, generator=generator))
    return orthogonal[:, : _num_values()]


def is_whole(labels: Tensor) -> Tensor:
    """labels [N, 4, A] -> [N] whether they speak of the image as a whole."""
    size = list(ATTRIBUTES).index("size")
    return labels[:, 0, size] == ATTRIBUTES["size"].index(WHOLE)


def quarter_means(tokens: Tensor) -> Tensor:
    """[N, 1 + G*G, W] (or without class token) -> [N, 4, W] means of the patches of each quarter, in reading order."""
    side = isqrt(tokens.shape[1])
    grid = tokens[:, -side * side :].unflatten(1, (2, side // 2, 2, side // 2))
    return grid.mean(dim=(2, 4)).flatten(1, 2)


def _num_values() -> int:
    return sum(map(len, ATTRIBUTES.values()))


def _check(config: Config, loaded: LoadedModel) -> None:
    for name, dataset in config.datasets.items():
        if not isinstance(dataset, DrawnScenesConfig | LabelledPhotographsConfig):
            raise UserError("task.data", where=f"datasets.{name}", what="has no labels for scene_labels_pretrain",
                            fix="use the data sets drawn_scenes and labelled_photographs")
    parts: Mapping[str, Any] = loaded.model.parts()
    for name in LEARNERS:
        if parts[name].out_width < _num_values():
            raise UserError("config.value", where=f"model.{name}.hidden_size", what=f"is {parts[name].out_width}",
                            fix=f"scene_labels_pretrain needs {_num_values()} or more, a direction for each value")
    if parts["resampler"].out_tokens % NUM_PLACES:
        raise UserError("config.value", where="model.resampler.num_query_tokens",
                        what=f"is {parts['resampler'].out_tokens}", fix=f"use a multiple of {NUM_PLACES}")
