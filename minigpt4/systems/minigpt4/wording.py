"""From the `model:` section to words: template, prompts, label rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.registry import templates
from minigpt4.common.texts import read_text
from minigpt4.conversation.chat_template import named_template
from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.template import Template, template_around_prompt
from minigpt4.conversation.templates.standard import STANDARD_TEMPLATES
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.records.conversations import IMAGE_MARK
from minigpt4.systems.minigpt4.behaviours import BEHAVIOURS, MiniGPT4Behaviour
from minigpt4.systems.minigpt4.config import BEHAVIOURS_OF_ORIGINALS, MiniGPT4Config

LLAMA2_MARK = "[INST]"


def behaviour_of(config: MiniGPT4Config) -> MiniGPT4Behaviour:
    """The behaviour a config names, or that of the original its arch and model_type come from."""
    name = config.behaviour or BEHAVIOURS_OF_ORIGINALS.get((config.arch, config.model_type), "standard")
    return BEHAVIOURS[name]


def wording_of(config: MiniGPT4Config, tokenizer: Tokenizer) -> Wording:
    """The words of training, evaluation and chat."""
    behaviour = behaviour_of(config)
    prompts = read_prompts(config.prompt_path)
    training = training_template(config, behaviour, tokenizer, has_prompts=bool(prompts))
    return Wording(
        training=training, chat=chat_template(config, behaviour, training),
        rule=label_rule(config, behaviour, tokenizer), prompts=prompts, original=behaviour.encoding,
    )


def training_template(config: MiniGPT4Config, behaviour: MiniGPT4Behaviour, tokenizer: Tokenizer, *,
                      has_prompts: bool) -> Template:
    """`model.template` by name; else what `prompt_template` and `end_sym` spell; else the bare image of stage 1."""
    if config.template is not None:
        return named_template(config.template, tokenizer)
    if config.prompt_template and behaviour.name == "standard":
        return known_template(config.prompt_template, config.end_sym)
    if config.prompt_template and has_prompts:
        return template_around_prompt(config.prompt_template, config.end_sym)
    plain: Template = templates.get("plain")
    joint = plain.image_joint if behaviour.name == "standard" else None
    return replace(plain, answer_end=config.end_sym, stops=(config.end_sym,), image_joint=joint)


def known_template(prompt_template: str, end_sym: str) -> Template:
    """The named template that writes a first turn so, since it also knows later turns; else one for these texts."""
    spelled = template_around_prompt(prompt_template, end_sym)
    for template in STANDARD_TEMPLATES:
        before = template.system + template.system_suffix + template.user_prefix
        after = template.user_suffix + template.assistant_prefix
        if (before, after, template.answer_end) == (spelled.user_prefix, spelled.user_suffix, end_sym):
            return template
    return replace(spelled, image_joint=" ")


def chat_template(config: MiniGPT4Config, behaviour: MiniGPT4Behaviour, training: Template) -> Template:
    """The original's chat template where the behaviour has one, else the template of training."""
    if not behaviour.chats:
        return training
    llama2 = LLAMA2_MARK in (config.prompt_template or "") or "llama2" in config.model_type
    kind = "llama2" if llama2 else "vicuna"
    if kind not in behaviour.chats:
        raise UserError(
            "config.value", where="model.behaviour", what=f"{behaviour.name} had no chat for {kind}",
            fix=f"use one of: {', '.join(b.name for b in BEHAVIOURS.values() if not b.chats or kind in b.chats)}",
        )
    return behaviour.chats[kind]


def label_rule(config: MiniGPT4Config, behaviour: MiniGPT4Behaviour, tokenizer: Tokenizer) -> LabelRule:
    """What is learned: the pad id of an original is also the label it never learns."""
    hidden: int | None = None
    if behaviour.pad == "eos":
        hidden = tokenizer.eos_token_id
    elif behaviour.pad is not None:
        hidden = tokenizer.piece_id(behaviour.pad) or 0
    return LabelRule(
        max_answer_tokens=config.max_txt_len,
        end_survives=behaviour.end_survives,
        hidden_label=hidden,
        pad_token_id=hidden or 0,
        prompt_per=behaviour.prompt_per,
    )


def read_prompts(path: str | None) -> tuple[str, ...]:
    """The prompts of a text file: its lines that hold an image mark.

    Raises:
        UserError: the file is no UTF-8 text, has no such line, or one with more than one mark.
    """
    if not path:
        return ()
    lines = [line for line in read_text(Path(path), "prompts.text").splitlines() if line.strip()]
    prompts = tuple(line for line in lines if IMAGE_MARK in line)
    if not prompts:
        raise UserError(
            "prompts.empty", where=path, what=f"none of its {len(lines)} lines contains {IMAGE_MARK}",
            fix=f"write lines like: <Img>{IMAGE_MARK}</Img> Describe this image in detail.",
        )
    for number, line in enumerate(lines, 1):
        if line.count(IMAGE_MARK) > 1:
            raise UserError("prompts.marks", where=f"{path}:{number}", what=f"contains {IMAGE_MARK} more than once",
                            fix="one prompt shows one image")
    return prompts
