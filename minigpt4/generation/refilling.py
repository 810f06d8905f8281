"""Greedy answers of many prompts in a few rows: a row that ended takes the next prompt at once.

B rows, L positions, D width of the LLM. All rows share one key-value cache, padded on the left; a new prompt is
computed by itself and its keys and values are put into the free row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from minigpt4.generation.prompt import Prompt
from minigpt4.generation.roomy_cache import RoomyLayer, roomy_cache
from minigpt4.generation.settings import DecodingSettings
from minigpt4.generation.stops import StopCriterion


@dataclass
class _Row:
    """One answer in progress."""

    number: int
    """of its prompt"""
    length: int
    """positions in the cache that are its own"""
    ids: list[int] = field(default_factory=list)


def can_refill(llm: PreTrainedModel, settings: DecodingSettings) -> bool:
    """Whether these answers can be computed here: greedy, by a model whose layers keep all keys and values."""
    plain = settings.num_beams == 1 and not settings.do_sample and settings.repetition_penalty == 1.0
    return plain and all(type(layer) is RoomyLayer for layer in roomy_cache(llm.config).layers)


class RefilledRows:
    """Decodes prompts in at most `size` rows at once.

    Args:
        llm: the causal language model.
        settings: `max_new_tokens` and `min_new_tokens` are heeded.
        criterion: says when a row has met a stop.
        eos: id that ends an answer; None = there is none.
        size: rows at once.
    """

    def __init__(self, llm: PreTrainedModel, settings: DecodingSettings, criterion: StopCriterion, eos: int | None,
                 size: int) -> None:
        self._llm, self._settings, self._criterion, self._eos, self._size = llm, settings, criterion, eos, size
        self._rows: list[_Row] = []
        self._cache = roomy_cache(llm.config)
        self._next = torch.empty(0, dtype=torch.int64)
        """[B] newest token of each row, not in the cache yet"""

    def answers(self, prompts: Iterable[Prompt]) -> Iterator[tuple[int, list[int]]]:
        """(number of the prompt, new ids with the one that ended them), as they end; prompts are taken when needed."""
        waiting = enumerate(prompts)
        with torch.no_grad():
            while True:
                yield from self._drop_ended()
                taken = list(islice(waiting, self._size - len(self._rows)))
                if taken:
                    self._take(taken)
                elif not self._rows:
                    return
                else:
                    self._step()

    def _take(self, taken: Sequence[tuple[int, Prompt]]) -> None:
        """Compute new prompts and put them below the rows that go on."""
        prompts = [prompt for _, prompt in taken]
        rows = [_Row(number, len(prompt)) for number, prompt in taken]
        longest = max(row.length for row in rows)
        embeddings = torch.stack([F.pad(prompt.embeddings, (0, 0, longest - len(prompt), 0)) for prompt in prompts])
        cache = roomy_cache(self._llm.config)
        logits = self._forward(embeddings, rows, longest, cache)
        self._join(cache, rows)
        self._next = torch.cat([self._next.to(logits.device), self._chosen(logits, rows)])

    def _step(self) -> None:
        embeddings = self._llm.get_input_embeddings()(self._next.unsqueeze(1))
        for row in self._rows:
            row.length += 1
        logits = self._forward(embeddings, self._rows, self._cache.get_seq_length() + 1, self._cache)
        self._next = self._chosen(logits, self._rows)

    def _forward(self, embeddings: Tensor, rows: Sequence[_Row], length: int, cache: DynamicCache) -> Tensor:
        """Logits [B, V] at the last position; `length`: positions of the cache with those that are given now."""
        device = embeddings.device
        own = torch.tensor([row.length for row in rows], device=device).unsqueeze(1)
        places = torch.arange(length, device=device) - (length - own)  # [B, length], negative = padding
        out = self._llm(
            inputs_embeds=embeddings, attention_mask=(places >= 0).long(), past_key_values=cache, use_cache=True,
            position_ids=places[:, -embeddings.shape[1] :].clamp(min=0), logits_to_keep=1,
        )
        logits: Tensor = out.logits[:, -1].float()
        return logits

    def _chosen(self, logits: Tensor, rows: Sequence[_Row]) -> Tensor:
        """[B] the likeliest tokens, which are added to the rows."""
        if self._eos is not None and self._settings.min_new_tokens:
            early = torch.tensor([len(row.ids) < self._settings.min_new_tokens for row in rows], device=logits.device)
            logits[early, self._eos] = float("-inf")
        chosen = logits.argmax(dim=-1)
        for row, number in zip(rows, chosen.tolist(), strict=True):
            row.ids.append(number)
        return chosen

    def _drop_ended(self) -> Iterator[tuple[int, list[int]]]:
        ended = [self._has_ended(row) for row in self._rows]
        if not any(ended):
            return
        yield from ((row.number, row.ids) for row, is_over in zip(self._rows, ended, strict=True) if is_over)
        kept = [place for place, is_over in enumerate(ended) if not is_over]
        self._rows = [self._rows[place] for place in kept]
        self._next = self._next[kept]
        if not kept:
            self._cache = roomy_cache(self._llm.config)
            return
        longest = max(row.length for row in self._rows)
        for layer in _layers(self._cache):
            layer.keys, layer.values = layer.keys[kept, :, -longest:], layer.values[kept, :, -longest:]

    def _has_ended(self, row: _Row) -> bool:
        return (row.ids[-1] == self._eos or len(row.ids) >= self._settings.max_new_tokens
                or self._criterion.is_end(row.ids))

    def _join(self, cache: DynamicCache, rows: Sequence[_Row]) -> None:
        """Put the rows of another cache below ours, both padded on the left to the same length."""
        if not self._rows:
            self._rows, self._cache = list(rows), cache
            return
        longest = max(self._cache.get_seq_length(), cache.get_seq_length())
        for ours, theirs in zip(_layers(self._cache), _layers(cache), strict=True):
            ours.keys = torch.cat([_padded(ours.keys, longest), _padded(theirs.keys, longest)])
            ours.values = torch.cat([_padded(ours.values, longest), _padded(theirs.values, longest)])
        self._rows = [*self._rows, *rows]


def _layers(cache: DynamicCache) -> list[Any]:
    """Its layers, each with keys and values [B, heads, L, d]; `can_refill` looked at their class."""
    return list(cache.layers)


def _padded(values: Tensor, length: int) -> Tensor:
    """[B, heads, L, d] with zeros before it, up to `length` positions."""
    return F.pad(values, (0, 0, length - values.shape[2], 0))
