"""Wrong command lines, drawn from a seed: every one must end in a sentence and exit status 2."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

NUMBERS: Mapping[tuple[str, ...], Sequence[str]] = {
    ("caption", "x"): ("--batch-size", "--max-new-tokens", "--num-beams", "--temperature", "--top-p", "--seed"),
    ("chat",): ("--max-new-tokens", "--num-beams", "--temperature", "--top-p", "--seed"),
    ("demo",): ("--gpu-id", "--port", "--max-new-tokens"),
    ("eval",): ("--limit", "--batch-size"),
    ("finetune",): ("--epochs", "--batch-size"),
    ("data", "show"): ("--number",),
    ("data", "validate"): ("--num-workers",),
    ("data", "tokenizer"): ("--vocab-size",),
    ("data", "scenes"): ("--seed", "--held-out-variant", "--stage1"),
}
"""command -> its flags that take a number"""

WRONG = ("-3", "nan", "inf", "-inf", "x", "", "1e400", "--", "0x10", "1,5", "-0.5", "None")
RUN_KEYS = ("seed", "num_workers", "save_every", "init_lr", "beta2", "num_threads", "clip_grad_norm", "max_epoch",
            "iters_per_epoch", "accum_grad_iters", "log_freq", "weight_decay", "valid_every", "max_unreadable")
COMMANDS = ("train", "chat", "caption", "eval", "demo", "data", "weights", "configs", "plan", "show", "finetune",
            "doctor")


def wrong_command_lines(seed: int, config: str, number: int = 300) -> list[list[str]]:
    """At least `number` wrong command lines.

    Args:
        seed: another seed, other lines.
        config: a YAML whose values are fine.
        number: how many.
    """
    draw = random.Random(seed)
    makers = (_flag, _option, _unknown_flag, _unknown_command)
    return [draw.choice(makers)(draw, config) for _ in range(number)]


def _flag(draw: random.Random, config: str) -> list[str]:
    command = draw.choice(list(NUMBERS))
    return [*command, draw.choice(NUMBERS[command]), draw.choice(WRONG)]


def _option(draw: random.Random, config: str) -> list[str]:
    value = draw.choice(("-3", ".nan", ".inf", "-.inf", "[]", "{a: 1}", "x", "1e400", "true", "9" * 400))
    return ["train", "--cfg-path", config, "--dry-run", "--options", f"run.{draw.choice(RUN_KEYS)}={value}"]


def _unknown_flag(draw: random.Random, config: str) -> list[str]:
    return [draw.choice(COMMANDS), "--" + "".join(draw.choices("qxzjk", k=6))]


def _unknown_command(draw: random.Random, config: str) -> list[str]:
    word = list(draw.choice(COMMANDS))
    word[draw.randrange(len(word))] = draw.choice("qxzjé\n ")
    return ["".join(word)]
