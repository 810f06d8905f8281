"""The task of both stages: the next token of a caption or answer, given its image.

A step is the summed loss of a batch; measured are the loss per token, the image gap, and a few captions to read. A
model without images trains by the same task (`text_pretrain` says so in a YAML).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from torch import Tensor, nn

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import Config
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place
from minigpt4.common.registry import tasks
from minigpt4.conversation.renderer import Renderer
from minigpt4.datasets.assembly import build_image_processors, build_indexed, build_source
from minigpt4.datasets.balanced_rows import batch_size_within
from minigpt4.datasets.batches import BatchMaker, ImageReader
from minigpt4.datasets.config import DatasetConfig
from minigpt4.datasets.dataset import IndexedDataset
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.datasets.identity import identities_of
from minigpt4.datasets.ledger import Ledger, UnreadableLimits, ledger_path
from minigpt4.datasets.loader import EvaluationLoader, SampleLengths, TrainingLoader
from minigpt4.datasets.mixture import Mixture
from minigpt4.metrics.image_gap import with_exchanged_images
from minigpt4.metrics.tally import Tally
from minigpt4.processors.images import FittedImages
from minigpt4.processors.levels import LevelsOf, Normalisation
from minigpt4.records.batches import Batch, Output
from minigpt4.records.conversations import Sample
from minigpt4.records.images import ImageRef
from minigpt4.tasks.stored_features import FeatureStore
from minigpt4.tasks.task import Caption

Describe = Callable[[Sequence[ImageRef]], list[str]]
"""images -> a caption each, as the model says it now"""


@tasks.register("image_text_pretrain")
class ImageTextPretrain:
    """Next-token training on images and text.

    Args:
        config: the whole config; data sets and batch sizes are read from it.
        loaded: the model with its renderer and pixels.
        place: which process of the run this is.
        describe: says what an image shows, for captions during validation; None = no captions.
        store: what frozen encoders say of images; None = they are asked at every step.
    """

    measures = ("loss", "image_gap")

    def __init__(self, config: Config, loaded: LoadedModel, place: Place, describe: Describe | None = None,
                 store: FeatureStore | None = None) -> None:
        self._config = config
        self._store = store
        self._opened: dict[tuple[str, str], IndexedDataset] = {}
        self._run = config.run
        self._loaded = loaded
        self._place = place
        self._describe = describe
        spec = loaded.image_spec
        self._normalisation = None if spec is None else Normalisation(spec, loaded.model.device)
        limits = UnreadableLimits(share=self._run.max_unreadable)
        self.ledger = Ledger(ledger_path(Path(self._run.output_dir), place.rank), limits)

    def report(self) -> list[str]:
        return [*describe_source(self._source), *([self._store.report()] if self._store else [])]

    def data_identities(self) -> dict[str, str]:
        return identities_of(self._source)

    def batches_per_epoch(self, begun_on: int | None = None) -> int:
        """Once through the data. Raises `UserError` for a stream, which does not know its length."""
        number = self._loader(begun_on).steps_per_epoch
        if number is None:
            raise UserError("config.missing", where="run.iters_per_epoch", what="is not set, and a stream has no end",
                            fix="set it to the micro-batches of an epoch")
        return number

    def training_batches(self, position: int, begun_on: int | None = None) -> Iterator[Batch]:
        return iter(self._loader(begun_on, position))

    def output(self, model: nn.Module, batch: Batch) -> Output:
        output: Output = model(replace(batch, images=self.images_of(batch)))
        return output

    def images_of(self, batch: Batch) -> Mapping[str, Tensor]:
        """What the visual path starts from: pixels, or stored values, of a batch on the model's device."""
        images = batch.images if self._normalisation is None else self._normalisation(batch.images)
        return images if self._store is None else self._store.features(images)

    def evaluation_batches(self, split: str, limit: int | None) -> Iterable[Batch]:
        configs = self._configs_of(split)
        processors = self._processors(configs, split)
        size = self._run.batch_size_eval or self._batch_size
        return chain.from_iterable(
            EvaluationLoader(self._indexed(name, config, split), self._loaded.renderer, processors[name],
                             batch_size=size, rank=self._place.rank, world_size=self._place.world_size,
                             seed=self._run.seed, num_workers=self._run.num_workers, limit=limit,
                             max_positions=self._loaded.max_positions)
            for name, config in configs.items()
        )

    def measure(self, model: nn.Module, batch: Batch) -> dict[str, Tally]:
        """Loss per token; and how much it rises with the neighbour's images, over batches with at least two."""
        right = self.output(model, batch)
        loss = Tally(float(right.loss_sum), right.num_tokens)
        exchanged = with_exchanged_images(batch)
        if exchanged is None:
            return {"loss": loss, "image_gap": Tally()}
        wrong = self.output(model, exchanged)
        return {"loss": loss, "image_gap": Tally(float(wrong.loss_sum) - loss.total, loss.count)}

    def captions(self, split: str) -> list[Caption]:
        number = self._run.valid_captions
        if self._describe is None or not number:
            return []
        configs = self._configs_of(split)
        samples = chain.from_iterable(_with_image(self._indexed(name, config, split))
                                      for name, config in configs.items())
        chosen = [sample for sample, _ in zip(samples, range(number), strict=False)]
        if not chosen:
            return []
        said = self._describe([sample.conversation.images[0] for sample in chosen])
        return [Caption(sample.id, words, _answer_of(sample)) for sample, words in zip(chosen, said, strict=True)]

    def _indexed(self, name: str, config: DatasetConfig, split: str) -> IndexedDataset:
        """A data set that is measured: opened once, whatever the number of validations."""
        if (name, split) not in self._opened:
            self._opened[name, split] = build_indexed(name, config, split)
        return self._opened[name, split]

    @cached_property
    def _source(self) -> Mixture | ShardStream:
        """Made when first needed (evaluation needs none), and once: opening data sets reads every shard's index."""
        return build_source(self._config.datasets, seed=self._run.seed, splits=self._run.train_splits)

    @cached_property
    def _batch_size(self) -> int:
        return samples_of_a_batch(self._config, lambda: self._source, self._loaded.renderer)

    def _loader(self, begun_on: int | None, position: int = 0) -> TrainingLoader:
        run = self._run
        return TrainingLoader(
            self._source, self._loaded.renderer, self._processors(self._config.datasets, run.train_splits[0]),
            batch_size=self._batch_size, balanced=run.max_tokens is not None, rank=self._place.rank,
            world_size=self._place.world_size, begun_on=begun_on, seed=run.seed, num_workers=run.num_workers,
            position=position, ledger=self.ledger, max_positions=self._loaded.max_positions,
            prefetch=run.prefetch, pinned=self._loaded.model.device.type == "cuda",
        )

    def _processors(self, configs: dict[str, DatasetConfig], split: str) -> Mapping[str, ImageReader]:
        """What reads each data set's images; stored ones are of the training splits.

        They travel as levels where all data sets are normalised as the model's own images are.
        """
        made = build_image_processors(configs, split, self._loaded.image_spec, self._loaded.behaviour.train_crop)
        if self._store is not None and split in self._run.train_splits:
            return {name: self._store.reader(processor) for name, processor in made.items()}
        fitted = {name: each for name, each in made.items() if isinstance(each, FittedImages)}
        if len(fitted) < len(made) or any(each.spec != self._loaded.image_spec for each in fitted.values()):
            return made
        return {name: LevelsOf(each) for name, each in fitted.items()}

    def _configs_of(self, split: str) -> dict[str, DatasetConfig]:
        """Data sets that have the split. Raises `UserError` where none has."""
        datasets: dict[str, DatasetConfig] = self._config.datasets
        with_split = {name: config for name, config in datasets.items()
                      if split in self._run.train_splits or split in config.build_info.splits}
        if not with_split:
            next(iter(datasets.values())).build_info.at(split)
        return with_split


def describe_source(source: Mixture | ShardStream) -> list[str]:
    """One line for each data set: its size and its share of every batch."""
    if isinstance(source, ShardStream):
        return [f"data {source.name}: a stream"]
    return [f"data {dataset.name}: {len(dataset):,} samples, share {share:.1%}"
            for dataset, share in zip(source.datasets, source.shares, strict=True)]


def samples_of_a_batch(config: Config, source: Callable[[], Mixture | ShardStream], renderer: Renderer) -> int:
    """Samples of a micro-batch and rank: as the config says, or as many as `run.max_tokens` has room for.

    Args:
        config: the whole config.
        source: opens the data, whose first samples are measured; only asked where it must be.
        renderer: says how long a sample is.

    Raises:
        UserError: as `batch_size`; or both are given, or the data are a stream.
    """
    max_tokens: int | None = config.run.max_tokens
    if max_tokens is None:
        return batch_size(config)
    if given := _sizes(config):
        raise UserError("config.value", where="run.max_tokens", what=f"is given beside {next(iter(given))}",
                        fix="give one of the two")
    data = source()
    if isinstance(data, ShardStream):
        raise UserError("data.stream", where="run.max_tokens", what="is given for a stream, whose lengths are not "
                        "known ahead", fix="set run.batch_size_train instead")
    return batch_size_within(max_tokens, SampleLengths(data, BatchMaker(renderer, {}, config.run.seed)),
                             data.num_samples)


def batch_size(config: Config) -> int:
    """Samples of a micro-batch and rank, from `run.batch_size_train` or the data sets' own `batch_size`.

    Raises `UserError` where none or several are given (a micro-batch mixes all data sets), or a number of tokens.
    """
    if config.run.max_tokens is not None:
        raise UserError("config.value", where="run.max_tokens", what="is set, and samples are counted here",
                        fix="set run.batch_size_train instead")
    given = _sizes(config)
    if not given:
        raise UserError("config.missing", where="run.batch_size_train", what="is not set", fix="set it, e.g. to 12")
    if len(set(given.values())) > 1:
        said = ", ".join(f"{key} {size}" for key, size in given.items())
        raise UserError("config.value", where=next(iter(given)), what=f"batch sizes differ: {said}",
                        fix="give one size; sample_ratio sets the shares of the data sets")
    return next(iter(given.values()))


def _sizes(config: Config) -> dict[str, int]:
    """Key -> batch size, of all that are given."""
    sizes = {f"datasets.{name}.batch_size": dataset.batch_size for name, dataset in config.datasets.items()}
    return {key: size for key, size in {"run.batch_size_train": config.run.batch_size_train, **sizes}.items() if size}


def _with_image(dataset: IndexedDataset) -> Iterator[Sample]:
    for number in range(len(dataset)):
        sample = dataset.sample(number)
        if isinstance(sample, Sample) and sample.conversation.images:
            yield sample


def _answer_of(sample: Sample) -> str:
    return next((turn.text for turn in sample.conversation.turns if turn.role == "assistant"), "")
