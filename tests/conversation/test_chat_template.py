"""The tokenizer's own jinja template: found as data, checked, refused where it hides answers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from minigpt4.common.errors import UserError
from minigpt4.conversation.chat_template import named_template
from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.tokenizer import Tokenizer, open_tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.inference.load import load_model
from minigpt4.records.batches import IGNORED_LABEL
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from tests import tiny

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + "
    "'<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}"
    "{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
LLAMA_3_1 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set said = messages[0]['content'] %}"
    "{% set messages = messages[1:] %}{% else %}{% set said = '' %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n\n' + said }}"
    "{{ '<|eot_id|>' }}"
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
"""a header stands there without a system text, too"""
THINKING = (
    "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant><think>\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles') }}{% endif %}"
    "{% endfor %}"
)
KNOWN = {"chatml": CHATML, "llama_3": LLAMA_3, "llama_3_1": LLAMA_3_1, "gemma": GEMMA, "mistral": MISTRAL}


def tokenizer_with(folder: Path, source: str | list[dict[str, str]]) -> Tokenizer:
    shutil.copytree(tiny.tokenizer_folder(), folder, dirs_exist_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": source}))
    return open_tokenizer(folder)


def renderer_with(folder: Path, source: str) -> Renderer:
    tokenizer = tokenizer_with(folder, source)
    template = named_template("chat_template", tokenizer)
    return Renderer(Wording(training=template, chat=template, rule=LabelRule()), tokenizer, 2)


def said(*texts: str, system: str | None = None) -> Conversation:
    turns = tuple(Turn("user" if number % 2 == 0 else "assistant", text) for number, text in enumerate(texts))
    return Conversation(turns, (ImageRef(data=b"x"),) * sum(text.count(IMAGE_MARK) for text in texts), system)


@pytest.mark.parametrize("name", KNOWN)
def test_answers_and_their_ends_are_found(tmp_path: Path, name: str) -> None:
    render = renderer_with(tmp_path, KNOWN[name])
    row = render.render(said(f"{IMAGE_MARK} what?", "a red rose", "again?", "a table"))
    learned = render.tokenizer.decode([label for label in row.labels if label != IGNORED_LABEL], skip_specials=False)
    end = render.training.answer_end
    assert learned == f"a red rose{end}a table{end}" and row.image_lengths == (2,)
    asked = render.render_prompt(said(f"{IMAGE_MARK} what?", "a red rose", "again?"))
    assert row.ids[: len(asked.ids)] == asked.ids


@pytest.mark.parametrize("name", ["chatml", "llama_3", "llama_3_1"])
def test_a_system_text_stands_where_the_template_puts_it(tmp_path: Path, name: str) -> None:
    render = renderer_with(tmp_path, KNOWN[name])
    row = render.render(said("what?", "a rose", system="Be brief."))
    assert "Be brief." in render.tokenizer.decode(row.ids, skip_specials=False)


def test_the_default_system_text_is_kept(tmp_path: Path) -> None:
    assert renderer_with(tmp_path, CHATML).training.system == "You are a helpful assistant."


def test_blanks_are_trimmed_where_the_template_trims(tmp_path: Path) -> None:
    render = renderer_with(tmp_path, LLAMA_3)
    assert render.render(said(" what? ", " a rose\n")).ids == render.render(said("what?", "a rose")).ids


@pytest.mark.parametrize(("source", "reason"), [
    ("", "this tokenizer has none"),
    ("{% for m in messages %}{{ m['content'] }}", "is not jinja"),
    ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "does not say where an answer ends"),
    ("{{ messages[-1]['content'] }}</s>", "leaves out, or repeats"),
    ("{% for m in messages %}{{ loop.index }}{{ m['content'] }}</s>{% endfor %}", "does not write every turn alike"),
    ("{% for i in range(9999) %}{% for j in range(9) %}" + "a" * 50 + "{% endfor %}{% endfor %}", "writes more than"),
    ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "its loops take more than"),
    ("{% for i in range(99999) %}{% endfor %}", "number above"),
    ("{% set n = namespace(x='aaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "too large"),
    ("{% set n = namespace(x='aaaa') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}", "not used on"),
    ("{{ 'a'.ljust(10000000000) }}", "number above"), ("{{ 'a'|center(10000000000) }}", "number above"),
    ("{{ ('a' * 9999)|replace('a', 'b' * 9999) }}", "too large"),
    ("{{ 'a' * 9999999999 }}", "refuses a conversation"),
    ("{{ messages.__class__.__mro__ }}", "refuses a conversation"),
    ("{% include 'a' %}", "refuses a conversation"),
    (THINKING, "opens an answer otherwise than it writes one"),
    ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "is not jinja"),
    ("{% break %}", "is not jinja"),
])
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        named_template("chat_template", tokenizer_with(tmp_path, source))


def test_a_conversation_that_is_written_in_another_way_is_refused(tmp_path: Path) -> None:
    """As templates do that hide earlier thoughts."""
    source = CHATML.replace("message['content']", "message['content'].split('</think>')[-1]")
    render = renderer_with(tmp_path, source)
    assert render.render(said("what?", "a rose")).num_supervised
    with pytest.raises(UserError, match="does not write this conversation turn by turn"):
        render.render(said("what?", "<think>hm</think>a rose"))


def test_minimind_brings_its_own(oracles: Path) -> None:
    """June 2026: every recorded text of roles that alternate, thoughts included."""
    folder = oracles / "minimind_v" / "B"
    facts = json.loads((folder / "cases" / "tokenize_and_mask.json").read_text(encoding="utf-8"))
    tokenizer = open_tokenizer(folder / facts["tokenizer"])
    template = named_template("chat_template", tokenizer)
    checked = 0
    for case in facts["templates"]:
        roles = [message["role"] for message in case["messages"]]
        if case["options"] != {"add_generation_prompt": True} or roles[-1] != "user" or "system" in roles[1:]:
            continue
        system = next((each["content"] for each in case["messages"] if each["role"] == "system"), None)
        turns = tuple(Turn(each["role"], each["content"]) for each in case["messages"] if each["role"] != "system")
        text = "".join(piece.text for piece in template.pieces(Conversation(turns, (), system)))
        assert text == case["text"]
        checked += 1
    assert checked >= 3


def test_of_named_templates_the_default_is_taken(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "{{ tools }}"}, {"name": "default", "template": CHATML}]
    assert tokenizer_with(tmp_path, named).chat_template == CHATML


def test_a_bundle_brings_the_template_along(tmp_path: Path) -> None:
    """From chat_template.jinja beside the tokenizer."""
    shutil.copytree(tiny.tokenizer_folder(), tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    llm = replace(tiny.config().llm, tokenizer=str(tmp_path / "tokenizer"))
    loaded = tiny.model(llm=llm, template="chat_template")
    (tmp_path / "bundle").mkdir()
    loaded.save_bundle(tmp_path / "bundle", resolved_config=tiny.as_yaml(loaded.config), stage="", step=1)
    shutil.rmtree(tmp_path / "tokenizer")
    again = load_model(tmp_path / "bundle", device="cpu")
    assert again.renderer.chat == loaded.renderer.chat
