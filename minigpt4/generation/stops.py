"""When an answer ends, row by row, and how its end is kept out of the text.

Stop texts belong to the template. A row that has met one is finished while the others continue, so a batch of n gives
the tokens of n singles. In a stream the beginning of a stop text is held back until it turns out to be none.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import torch
from torch import Tensor
from transformers import StoppingCriteria

from minigpt4.conversation.tokenizer import Tokenizer

CHECKED_TOKENS = 24
"""newest tokens that are decoded to look for a stop text; longer than any template's"""


class StopCriterion(StoppingCriteria):
    """Ends a row at a stop text, a sequence of ids, or when the user has had enough.

    Args:
        tokenizer: decodes the newest ids.
        texts: stop texts.
        id_sequences: stops as ids, as the originals had them.
        prompt_length: leading ids of a row that are not part of the answer.
        cancelled: set from another thread to end all rows.
    """

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str], id_sequences: Sequence[Sequence[int]] = (),
                 prompt_length: int = 0, cancelled: Event | None = None) -> None:
        self.tokenizer = tokenizer
        self.texts = tuple(text for text in texts if text)
        self.id_sequences = [list(sequence) for sequence in id_sequences]
        self.prompt_length = prompt_length
        self.cancelled = cancelled or Event()

    def __call__(self, input_ids: Tensor, scores: Tensor, **keywords: object) -> Tensor:
        """Rows [B, L] -> finished [B] bool."""
        rows = input_ids[:, self.prompt_length :].tolist()
        done = [self.cancelled.is_set() or self.is_end(row) for row in rows]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)

    def is_end(self, row: list[int]) -> bool:
        """True where the newest ids of an answer contain a stop."""
        if any(row[-len(sequence) :] == sequence for sequence in self.id_sequences):
            return True
        if not self.texts:
            return False
        text = self.tokenizer.decode(row[-CHECKED_TOKENS:], skip_specials=False)
        return any(stop in text for stop in self.texts)


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop."""
    places = [text.find(stop) for stop in stops if stop and stop in text]
    return text[: min(places)] if places else text


def held_back(text: str, stops: Sequence[str]) -> int:
    """Number of characters at the end of a text that may be the beginning of a stop."""
    longest = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), 0, -1):
            if text.endswith(stop[:length]):
                longest = max(longest, length)
                break
    return longest
