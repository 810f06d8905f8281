"""The task that makes the tiny language models: conversations about scenes whose images are sums of words.

An image is sixteen sums of the model's own word embeddings (`scenes/words/word_vectors.py`), put where image tokens
go, with noise and in any strength, so that the model later reads whatever a linear layer can make of an image.
Measured are whole answers on scenes in ideal words, by type and language: no projection can bring the model above it.

N images, S slots, W words of a slot, D width of the language model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import Config
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place
from minigpt4.common.registry import tasks, templates
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.datasets.assembly import build_indexed, build_source
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.datasets.identity import identities_of
from minigpt4.datasets.ledger import Ledger, UnreadableLimits, ledger_path
from minigpt4.datasets.loader import EvaluationLoader, TrainingLoader
from minigpt4.datasets.mixture import Mixture
from minigpt4.metrics.tally import Tally
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.records.batches import IGNORED_LABEL, Batch, Output, Rendered
from minigpt4.records.conversations import IMAGE_MARK, Conversation
from minigpt4.records.images import ImageRef
from minigpt4.scenes.builders.scene_words import ASKED, EXAM_TYPES, SceneWordsConfig
from minigpt4.scenes.data.files import CAPTION_TEMPLATE, QUESTION_TEMPLATE
from minigpt4.scenes.sampling import random_for
from minigpt4.scenes.scene import Scene
from minigpt4.scenes.words.languages import LANGUAGES, Language
from minigpt4.scenes.words.vocabulary import ALBUM
from minigpt4.scenes.words.word_vectors import IDEAL, SLOTS, WeightedWords, slots_of, view_slots
from minigpt4.tasks.image_text_pretrain import Describe, batch_size, describe_source
from minigpt4.tasks.task import Caption

STRENGTH = (0.7, 1.5)
"""of a scene's sums as a whole"""
NOISE = 0.6
"""largest deviation of what is added to a sum, in units of the embeddings' own"""
MAX_WORDS = 16
"""words of a slot in all languages together"""
WORD_IDS, WEIGHTS = "word_ids", "word_weights"
"""names of the tensors that stand for an image"""


@tasks.register("scene_words_pretrain")
class SceneWordsPretrain:
    """Next-token training on scenes in words.

    Args: as `ImageTextPretrain`. Raises `UserError` if a data set is not `scene_words`, or the number of image
    tokens is not that of the slots.
    """

    def __init__(self, config: Config, loaded: LoadedModel, place: Place, describe: Describe | None = None) -> None:
        _check(config, loaded)
        self._config, self._run = config, config.run
        self._place = place
        self._renderer = _ByQuestion(loaded.renderer)
        self._max_positions = loaded.max_positions
        self._words = {name: WordImages(loaded.tokenizer) for name in config.datasets}
        limits = UnreadableLimits(share=self._run.max_unreadable)
        self.ledger = Ledger(ledger_path(Path(self._run.output_dir), place.rank), limits)
        languages = sorted({language for dataset in config.datasets.values() for language in dataset.languages})
        self.measures = ("loss", *(f"{type}/{language}" for language in languages for type in EXAM_TYPES))

    def report(self) -> list[str]:
        return describe_source(self._source)

    def data_identities(self) -> dict[str, str]:
        return identities_of(self._source)

    def batches_per_epoch(self, begun_on: int | None = None) -> int:
        number = self._loader(begun_on).steps_per_epoch
        assert number is not None, "scenes in words are not a stream"
        return number

    def training_batches(self, position: int, begun_on: int | None = None) -> Iterator[Batch]:
        return iter(self._loader(begun_on, position))

    def output(self, model: nn.Module, batch: Batch) -> Output:
        output: Output = model(batch, self._image_tokens(model, batch, varied=model.training))
        return output

    def evaluation_batches(self, split: str, limit: int | None) -> Iterable[Batch]:
        size = self._run.batch_size_eval or batch_size(self._config)
        return chain.from_iterable(
            EvaluationLoader(build_indexed(name, config, split), self._renderer, self._words[name], batch_size=size,
                             rank=self._place.rank, world_size=self._place.world_size, seed=self._run.seed,
                             num_workers=self._run.num_workers, limit=limit,
                             max_positions=self._max_positions)
            for name, config in self._config.datasets.items()
        )

    def measure(self, model: nn.Module, batch: Batch) -> dict[str, Tally]:
        """The loss, and how many answers would be given word for word: each of their tokens is the likeliest."""
        loss = self.output(model, batch)
        tallies = {"loss": Tally(float(loss.loss_sum), loss.num_tokens)}
        if ASKED in batch.targets:  # lessons ask nothing of one type
            for asked, right in zip(batch.targets[ASKED], self._said_rightly(model, batch), strict=True):
                name = _name_of(asked)
                tallies[name] = tallies.get(name, Tally()) + Tally(float(right), 1)
        return {name: tallies.get(name, Tally()) for name in self.measures}

    def captions(self, split: str) -> list[Caption]:
        return []

    def _said_rightly(self, model: nn.Module, batch: Batch) -> Tensor:
        """[B] whether all learned tokens of a row are the likeliest ones."""
        assert isinstance(model, VisionLanguageModel), "the runner measures the loaded model itself"
        embeddings = model.embed(batch.input_ids, batch.slots, self._image_tokens(model, batch, varied=False))
        logits = model.llm.model(inputs_embeds=embeddings, attention_mask=batch.attention_mask, use_cache=False).logits
        targets = batch.labels[:, 1:]
        return ((logits[:, :-1].argmax(dim=-1) == targets) | (targets == IGNORED_LABEL)).all(dim=1)

    def _image_tokens(self, model: nn.Module, batch: Batch, *, varied: bool) -> Tensor | None:
        """[N, S, D]; `varied` = in any strength and with noise, as no image path is exact."""
        if not batch.num_images:
            return None
        assert isinstance(model, VisionLanguageModel), "the runner trains the loaded model itself"
        sums = word_sums(model, Words(batch.images[WORD_IDS], batch.images[WEIGHTS]))
        if not varied:
            return sums
        number = sums.shape[0]
        low, high = STRENGTH
        strength = torch.empty(number, 1, 1, device=sums.device).uniform_(low, high)
        deviation = model.llm.model.get_input_embeddings().weight.detach().std()
        noise = NOISE * deviation * torch.rand(number, 1, 1, device=sums.device) * torch.randn_like(sums)
        return sums * strength + noise

    @cached_property
    def _source(self) -> Mixture | ShardStream:
        return build_source(self._config.datasets, seed=self._run.seed)

    def _loader(self, begun_on: int | None, position: int = 0) -> TrainingLoader:
        run = self._run
        return TrainingLoader(
            self._source, self._renderer, self._words, batch_size=batch_size(self._config), rank=self._place.rank,
            world_size=self._place.world_size, begun_on=begun_on, seed=run.seed, num_workers=run.num_workers,
            position=position, ledger=self.ledger, max_positions=self._max_positions,
        )


def word_tokens(loaded: LoadedModel, scenes: Sequence[Scene], language: Language) -> Tensor:
    """Scenes in ideal words of a language, in the place of their images' tokens: [N, S, D]."""
    images = WordImages(loaded.tokenizer)
    slots = [view_slots(scene, random_for("ideal", number), tongues={language: 1.0}, mark=ALBUM, style=IDEAL)
             for number, scene in enumerate(scenes)]
    ids, weights = zip(*(images.of(each) for each in slots), strict=True)
    device = loaded.model.device
    return word_sums(loaded.model, Words(torch.stack(ids).to(device), torch.stack(weights).to(device)))


class Words(NamedTuple):
    """Words of the slots of one image [S, W] or of several [N, S, W]; weight 0 if there is no word."""

    ids: Tensor
    """int64, tokens"""
    weights: Tensor
    """float32"""


def word_sums(model: VisionLanguageModel, words: Words) -> Tensor:
    """words [N, S, W] -> weighted sums of their embeddings [N, S, D]."""
    return (model.llm.embed(words.ids) * words.weights.unsqueeze(-1)).sum(dim=-2)


class WordImages:
    """A scene in words in the place of an image -> the tokens of its words and their weights, [S, W] each."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, int] = {}

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        words = self.of(slots_of(ref))
        return {WORD_IDS: words.ids, WEIGHTS: words.weights}

    def of(self, slots: Sequence[WeightedWords]) -> Words:
        """The same for slots that are at hand."""
        ids = [[self._id(word) for word, _ in words] for words in slots]
        weights = [[weight for _, weight in words] for words in slots]
        return Words(torch.tensor([row + [0] * (MAX_WORDS - len(row)) for row in ids]),
                     torch.tensor([row + [0.0] * (MAX_WORDS - len(row)) for row in weights]))

    def _id(self, word: str) -> int:
        if word not in self._known:
            ids = self._tokenizer.encode(word, specials=True)
            if len(ids) != 1:
                raise UserError("tokenizer.pieces", where="model.llm.tokenizer",
                                what=f"cuts '{word}' into {len(ids)} pieces",
                                fix="make it with minigpt4 data tokenizer --scene-words")
            self._known[word] = ids[0]
        return self._known[word]


def _name_of(asked: Tensor) -> str:
    """[2] -> type and language of a question"""
    type, language = asked.tolist()
    return f"{EXAM_TYPES[type]}/{LANGUAGES[language]}"


class _ByQuestion:
    """Images that nothing is asked about are rendered as stage 1 does, everything else as stage 2 does."""

    def __init__(self, renderer: Renderer) -> None:
        self.pad_token_id, self.prompt_per = renderer.pad_token_id, renderer.prompt_per
        words = (Wording(training=templates.get(name), chat=templates.get(name), rule=renderer.rule)
                 for name in (CAPTION_TEMPLATE, QUESTION_TEMPLATE))
        self._captions, self._questions = (
            Renderer(wording, renderer.tokenizer, renderer.tokens_per_image) for wording in words
        )

    def render(self, conversation: Conversation, draw: int) -> Rendered:
        asks_nothing = conversation.turns[0].text == IMAGE_MARK
        return (self._captions if asks_nothing else self._questions).render(conversation, draw)


def _check(config: Config, loaded: LoadedModel) -> None:
    for name, dataset in config.datasets.items():
        if not isinstance(dataset, SceneWordsConfig):
            raise UserError("task.data", where=f"datasets.{name}", what="has no scenes in words",
                            fix="use the data set scene_words")
    if loaded.renderer.tokens_per_image != SLOTS:
        raise UserError("config.value", where="model.resampler",
                        what=f"{loaded.renderer.tokens_per_image} image tokens",
                        fix=f"scene_words_pretrain needs {SLOTS}")
