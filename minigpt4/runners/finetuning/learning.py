"""Can a model learn own texts, and did it? Measured before and after a fine-tuning, told with the flag that helps.

A frozen language model says only what it knows: texts foreign to it stay worse than guessing (ln V a token, V its
vocabulary), whatever the projection learns. The same samples are measured before and after.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.conversation.tokenizer import HALF_CHARACTER, Tokenizer
from minigpt4.models.freezing import is_frozen

log = logging.getLogger(__name__)

SAMPLES = 50
"""that the loss is measured on, drawn from all: a mean good to a few hundredths"""
FOREIGN_PIECES = 0.25
"""share of unknown pieces and single bytes; Chinese in LLaMA's vocabulary has fewer than half, and no model that was
not trained on such texts can spell them"""
LEARNED = 0.97
"""of the loss before; less is within what another order of the samples changes"""
SEEN = 0.02
"""image_gap, of the loss: a model that says the same of every image has none"""


@dataclass(frozen=True)
class Pieces:
    """What a tokenizer makes of texts.

    Args:
        number: pieces in all.
        unknown: those that stand for what the vocabulary lacks.
        in_bytes: those that are a byte of a character that the vocabulary lacks.
    """

    number: int
    unknown: int
    in_bytes: int

    @property
    def foreign(self) -> float:
        """Share of unknown pieces and bytes."""
        return (self.unknown + self.in_bytes) / max(1, self.number)


def pieces_of(texts: Iterable[str], tokenizer: Tokenizer) -> Pieces:
    """Count the pieces of texts. What a person writes never becomes a special token, but for the unknown one."""
    special = frozenset(tokenizer.special_tokens.values())
    ids = [number for text in texts for number in tokenizer.encode(text, specials=False)]
    halves = {number: tokenizer.decode([number]) == HALF_CHARACTER for number in set(ids) - special}
    return Pieces(len(ids), sum(number in special for number in ids), sum(halves.get(number, False) for number in ids))


@dataclass(frozen=True)
class Measured:
    """A model on the first samples: loss per token, and how much it rises with the neighbour's image.

    Args:
        loss: in nats.
        image_gap: None where there is one image only.
    """

    loss: float
    image_gap: float | None


def before_lines(pieces: Pieces, measured: Measured, vocab_size: int) -> list[str]:
    """What is said before training, in plain words."""
    return [
        f"your texts: {pieces.unknown / max(1, pieces.number):.1%} of {pieces.number:,} pieces are unknown to the "
        f"tokenizer, {pieces.in_bytes / max(1, pieces.number):.1%} are single bytes; loss {measured.loss:.2f} a token "
        f"before training on up to {SAMPLES} samples (guessing costs ln {vocab_size:,} = {math.log(vocab_size):.2f})"
    ]


def foreign(pieces: Pieces, measured: Measured, loaded: LoadedModel) -> UserError | None:
    """The warning before training: a frozen language model hardly knows these texts.

    A wording that begins above ln V is not learned by a projection, one that begins below is (measured on the embedded
    default: 6.1 of 6.9 ends at 0.03, 10.5 at 1.5, from where no answer comes out right).
    """
    if not is_frozen(loaded.model.llm):
        return None
    guessing = math.log(loaded.vocab_size)
    if pieces.foreign < FOREIGN_PIECES and measured.loss < guessing:
        return None
    why = (f"{pieces.foreign:.0%} of their pieces are unknown or single bytes" if pieces.foreign >= FOREIGN_PIECES else
           f"loss {measured.loss:.2f}, where guessing costs {guessing:.2f}")
    return UserError("finetune.foreign_texts", where="--texts",
                     what=f"the frozen language model hardly knows these texts ({why}), and a projection cannot teach "
                          "it words",
                     fix="start again with --train everything, or with --train lora where the language model is large")


def not_learned(before: Measured, after: Measured, answers: Sequence[str], loaded: LoadedModel) -> list[UserError]:
    """The warnings after training: nothing was learned, by the loss, or images are not used, by the image gap."""
    guessing, found = math.log(loaded.vocab_size), list[UserError]()
    remedy = ("start again with --train everything, or with --train lora where the language model is large"
              if is_frozen(loaded.model.llm) else "train longer (--epochs) or faster (--options run.init_lr=…)")
    if after.loss >= guessing or after.loss > LEARNED * before.loss:
        against = f"guessing costs {guessing:.2f}" if after.loss >= guessing else f"{before.loss:.2f} before training"
        found.append(UserError("finetune.nothing_learned", what=f"nothing was learned: loss {after.loss:.2f} a token, "
                               f"{against}", fix=remedy))
    elif after.image_gap is not None and after.image_gap < SEEN * after.loss and len(set(answers)) > 1:
        found.append(UserError("finetune.images_unused", fix="train longer (--epochs), or the image encoder too: "
                               "--train everything", what=f"the images are hardly used: with the neighbour's image the "
                               f"loss {after.loss:.2f} rises by {after.image_gap:.3f} only (image_gap), so answers "
                               "follow from the question alone"))
    return found
