"""From prompts to tokens by transformers' `generate`, one prompt with a cache or a batch without.

B rows, L positions, D width of the LLM. Prompts are embeddings, padded on the left; `generate` gives new ids only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Event
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.generation.prefix_cache import PrefixCache
from minigpt4.generation.prompt import Prompt, cut_from_left, refuse_too_long
from minigpt4.generation.refilling import RefilledRows, can_refill
from minigpt4.generation.settings import DecodingSettings
from minigpt4.generation.stops import StopCriterion, cut_at_stop

Reason = Literal["stop", "length", "cancelled"]

ORIGINAL_CONTEXT = 2000
"""positions after which the originals cut from the left (docs/originals/minigpt4.md#context-cut)"""


@dataclass(frozen=True)
class Answer:
    """What was generated: ids without padding, the text before any stop, and why it ended."""

    ids: tuple[int, ...]
    text: str
    reason: Reason
    prompt_length: int
    reused: int = 0
    """positions of the prompt that came from the cache"""


class _EachToken(BaseStreamer):
    """Hands every new id on; the first call of `generate` brings the prompt, which is left out."""

    def __init__(self, on_token: Callable[[int], None], *, skip_prompt: bool) -> None:
        self.on_token = on_token
        self.skip = skip_prompt

    def put(self, value: Tensor) -> None:
        if self.skip:
            self.skip = False
            return
        for number in value.reshape(-1).tolist():
            self.on_token(number)

    def end(self) -> None:
        """Nothing is held back here."""


class Engine:
    """Runs the token loop of one loaded model.

    Args:
        loaded: model, tokenizer, template, behaviour.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.llm: Any = loaded.model.llm.model
        self.tokenizer = loaded.tokenizer

    def new_cache(self) -> PrefixCache:
        return PrefixCache(self.llm.config)

    def answer(self, prompt: Prompt, settings: DecodingSettings, *, cache: PrefixCache | None = None,
               on_token: Callable[[int], None] | None = None, stop_ids: Sequence[Sequence[int]] = (),
               cancelled: Event | None = None) -> Answer:
        """One answer.

        Args:
            prompt: embedded conversation.
            settings: how tokens are chosen.
            cache: reused and kept for the next turn; beams and the originals' way of starting go without.
            on_token: called with each new id as it comes (not with beams).
            stop_ids: stops as id sequences, instead of the template's texts.
            cancelled: set it to end the answer.
        """
        prompt = self._fitted(prompt, settings)
        start = self._start_ids(1)
        reusable = settings.num_beams == 1 and start is None
        past, reused = cache.take(prompt.keys) if cache is not None and reusable else (None, 0)
        streamer = None if on_token is None else _EachToken(on_token, skip_prompt=True)
        ids = self._generate([prompt], settings, start, past, streamer, stop_ids, cancelled)[0]
        if cache is not None and past is not None:
            cache.keep([*prompt.keys, *ids])
        return self._answer(ids, len(prompt), reused, settings, stop_ids, cancelled)

    def answer_batch(self, prompts: Sequence[Prompt], settings: DecodingSettings) -> list[Answer]:
        """Answers of several prompts at once: the tokens of as many single ones."""
        prompts = [self._fitted(prompt, settings) for prompt in prompts]
        rows = self._generate(prompts, settings, self._start_ids(len(prompts)), None, None, (), None)
        return [
            self._answer(row, len(prompt), 0, settings, (), None) for row, prompt in zip(rows, prompts, strict=True)
        ]

    def answers(self, prompts: Iterable[Prompt], settings: DecodingSettings, *, rows: int) -> Iterator[Answer]:
        """Answers in the order of the prompts, computed in that many rows; prompts are taken when a row is free.

        The tokens of as many single answers. Greedy rows take the next prompt as they end, others go batch by batch.
        """
        if self._start_ids(1) is not None or not can_refill(self.llm, settings):
            waiting = iter(prompts)
            while batch := list(islice(waiting, rows)):
                yield from self.answer_batch(batch, settings)
            return
        lengths: list[int] = []
        criterion = StopCriterion(self.tokenizer, self.loaded.renderer.stops)
        refilled = RefilledRows(self.llm, settings, criterion, self.tokenizer.eos_token_id, rows)
        ended: dict[int, list[int]] = {}
        next_number = 0
        for number, ids in refilled.answers(self._counted(prompts, settings, lengths)):
            ended[number] = ids
            while next_number in ended:
                yield self._answer(ended.pop(next_number), lengths[next_number], 0, settings, (), None)
                next_number += 1

    def _counted(self, prompts: Iterable[Prompt], settings: DecodingSettings, lengths: list[int]) -> Iterator[Prompt]:
        """The prompts as they fit; their lengths are added to the list."""
        for prompt in prompts:
            fitted = self._fitted(prompt, settings)
            lengths.append(len(fitted))
            yield fitted

    @property
    def context(self) -> int:
        """Positions of prompt and answer together, unless the settings say otherwise."""
        built_for = getattr(self.llm.config, "max_position_embeddings", None) or ORIGINAL_CONTEXT
        return self.loaded.behaviour.context_cut or int(built_for)

    def refuse_too_many_images(self, number: int, settings: DecodingSettings) -> None:
        """Raise `UserError` where images alone do not fit, before one is decoded; the originals cut instead."""
        positions = number * self.loaded.renderer.tokens_per_image
        if positions and self.loaded.behaviour.context_cut is None:
            refuse_too_long(positions, settings.max_new_tokens, settings.max_context or self.context)

    def _fitted(self, prompt: Prompt, settings: DecodingSettings) -> Prompt:
        context = settings.max_context or self.context
        if self.loaded.behaviour.context_cut is not None:
            return cut_from_left(prompt, settings.max_new_tokens, context)
        refuse_too_long(len(prompt), settings.max_new_tokens, context)
        return prompt

    def _start_ids(self, rows: int) -> Tensor | None:
        """The BOS that old `generate` put before the answer: processors and length penalties saw it."""
        if not self.loaded.behaviour.bos_in_generation or self.tokenizer.bos_token_id is None:
            return None
        return torch.full((rows, 1), self.tokenizer.bos_token_id, device=self.loaded.model.device)

    def _generate(self, prompts: Sequence[Prompt], settings: DecodingSettings, start: Tensor | None, past: object,
                  streamer: _EachToken | None, stop_ids: Sequence[Sequence[int]], cancelled: Event | None
                  ) -> list[list[int]]:
        """New ids of each row, cut after its end."""
        embeddings, mask = _padded_left(prompts)
        started = 0 if start is None else 1
        stops = () if stop_ids else self.loaded.renderer.stops
        criterion = StopCriterion(self.tokenizer, stops, stop_ids, started, cancelled)
        keywords: dict[str, Any] = {} if start is None else {"input_ids": start}
        if past is not None:
            keywords["past_key_values"] = past
        with torch.no_grad(), _seeded(settings.seed):
            try:
                out = self.llm.generate(
                    inputs_embeds=embeddings, attention_mask=mask, generation_config=self._config(settings),
                    stopping_criteria=StoppingCriteriaList([criterion]), streamer=streamer,
                    synced_gpus=False,  # where the model is sharded, whoever asks keeps the ranks in step
                    **keywords,
                )
            except RuntimeError as error:
                raise _explained(error) from error
        rows = out[:, started:].tolist() if out.shape[1] else [[] for _ in prompts]
        return [self._without_padding(row, criterion) for row in rows]

    def _config(self, settings: DecodingSettings) -> GenerationConfig:
        sampling = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": settings.top_k}
        eos = self.tokenizer.eos_token_id
        return GenerationConfig(
            max_new_tokens=settings.max_new_tokens, min_new_tokens=settings.min_new_tokens or None,
            num_beams=settings.num_beams, do_sample=settings.do_sample,
            repetition_penalty=settings.repetition_penalty, length_penalty=settings.length_penalty,
            eos_token_id=eos, pad_token_id=eos if eos is not None else 0, bos_token_id=self.tokenizer.bos_token_id,
            **(sampling if settings.do_sample else {}),
        )

    def _without_padding(self, row: list[int], criterion: StopCriterion) -> list[int]:
        """The row up to its end; what follows is padding of a row that finished before the others."""
        for number in range(1, len(row) + 1):
            if row[number - 1] == self.tokenizer.eos_token_id or criterion.is_end(row[:number]):
                return row[:number]
        return row

    def _answer(self, ids: list[int], prompt_length: int, reused: int, settings: DecodingSettings,
                stop_ids: Sequence[Sequence[int]], cancelled: Event | None) -> Answer:
        text = cut_at_stop(self.tokenizer.decode(ids), self.loaded.renderer.stops).strip()
        ended = bool(ids) and ids[-1] == self.tokenizer.eos_token_id
        stops = () if stop_ids else self.loaded.renderer.stops
        reason: Reason = "stop" if ended or StopCriterion(self.tokenizer, stops, stop_ids).is_end(ids) else "length"
        if cancelled is not None and cancelled.is_set():
            reason = "cancelled"
        return Answer(tuple(ids), text, reason, prompt_length, reused)


def _padded_left(prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """Embeddings [B, L, D] with zeros on the left, mask [B, L]."""
    length = max(len(prompt) for prompt in prompts)
    first = prompts[0].embeddings
    embeddings = first.new_zeros(len(prompts), length, first.shape[-1])
    mask = torch.zeros(len(prompts), length, dtype=torch.int64, device=first.device)
    for number, prompt in enumerate(prompts):
        embeddings[number, length - len(prompt) :] = prompt.embeddings
        mask[number, length - len(prompt) :] = 1
    return embeddings, mask


class _seeded:
    """Sampling from a seed without touching the global state; None leaves the global state in charge."""

    def __init__(self, seed: int | None) -> None:
        self.seed = seed
        self.fork = torch.random.fork_rng(enabled=seed is not None)

    def __enter__(self) -> None:
        self.fork.__enter__()
        if self.seed is not None:
            torch.manual_seed(self.seed)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self.fork.__exit__(kind, error, trace)


def _explained(error: RuntimeError) -> Exception:
    """The sentence behind 'probability tensor contains inf or nan'; any other error as it is."""
    if "probability tensor" not in str(error):
        return error
    return UserError(
        "decoding.nonfinite", what="the language model gave inf or nan, so no token can be sampled",
        fix="set model.llm.dtype to bf16 (or fp32): fp16 overflows in late blocks, or the weights are damaged",
    )
