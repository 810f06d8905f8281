"""What a person may say of a fine-tuning beside data and bundle, and what `--train` means for the parts of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from minigpt4.common.config.write import plain
from minigpt4.common.errors import UserError, nearest
from minigpt4.systems.config import LANGUAGE_MODEL, SystemConfig

Trained = Literal["projection", "lora", "everything"]
"""projection alone; projection and adapters on the language model; all parts, the image encoder included"""
CHOICES: tuple[Trained, ...] = get_args(Trained)
LORA_RANK, LORA_ALPHA = 16, 32
"""of adapters on a language model that has none"""


@dataclass(frozen=True)
class Wishes:
    """What the person said.

    Args:
        epochs, batch_size: None = from the number of samples.
        options: `a.b=c` changes of the run.
        train: what trains; None = the parts that the bundle trained, the image encoder and the Q-Former left out.
        hold_out: share of the images that is kept back and asked about at the end; None = none.
    """

    epochs: int | None = None
    batch_size: int | None = None
    options: Sequence[str] = ()
    train: Trained | None = None
    hold_out: float | None = None

    def check(self) -> None:
        """Raise `UserError` for a number below 1, a share that is none, or a word that is not known."""
        for name, value in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise _wrong(name, value, "use a whole number, 1 or more")
        if not isinstance(self.options, list | tuple) or not all(isinstance(option, str) for option in self.options):
            raise _wrong("options", self.options, 'use a list of texts: ["run.init_lr=3e-5"]')
        if self.train is not None and self.train not in CHOICES:
            raise _wrong("train", self.train, nearest(str(self.train), CHOICES))
        if self.hold_out is not None and not (isinstance(self.hold_out, int | float) and 0 < self.hold_out < 1):
            raise _wrong("hold_out", self.hold_out, "use a share above 0 and below 1, such as 0.1")


def _wrong(name: str, value: object, fix: str) -> UserError:
    return UserError("finetune.flags", where=name, what=f"is {value!r}", fix=fix)


def frozen_parts(model: SystemConfig, train: Trained | None) -> dict[str, bool]:
    """Part -> whether it is frozen. Own data are too few to learn seeing from, unless a person insists.

    Raises:
        UserError: the projection alone is wanted, and the language model has adapters, which cannot stand still.
    """
    *visual, connector, llm = model.parts()
    if train is None:
        return dict.fromkeys(visual, True)
    if train == "projection" and model.llm.lora.r:
        raise UserError("finetune.train", where="--train projection", what="the bundle has adapters on its language "
                        "model, which go on training", fix="use --train lora, or merge them: minigpt4 weights merge")
    everything = train == "everything"
    return {**dict.fromkeys(visual, not everything), connector: False, llm: not everything}


def lora_of(model: SystemConfig) -> dict[str, object]:
    """The adapters that the bundle has, else the usual ones."""
    own: dict[str, object] = plain(getattr(model, LANGUAGE_MODEL).lora)
    return own if model.llm.lora.r else {"r": LORA_RANK, "alpha": LORA_ALPHA}
