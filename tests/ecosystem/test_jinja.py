"""Every registered template as one jinja text, and as values of a processor's config."""

from __future__ import annotations

import json
from typing import Any

import jinja2
import pytest

from minigpt4.common.registry import templates
from minigpt4.conversation.chat_template import template_of_tokenizer
from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.pieces import text_of
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.conversation.wording import OriginalEncoding, Wording
from minigpt4.ecosystem.chat_template import as_jinja
from minigpt4.ecosystem.processor import template_of, template_values
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from tests import tiny

CHATS = (("hi",), ("hi", "yes", "and?"), ("hi", "yes", "and?", "no"), (IMAGE_MARK,), (IMAGE_MARK, "a", "b", "c"))


def message(role: str, text: str) -> dict[str, Any]:
    """A turn as transformers has it; an image mark is an image and a question."""
    image = [{"type": "image"}, {"type": "text", "text": "what"}]
    return {"role": role, "content": image if text == IMAGE_MARK else text}


@pytest.mark.parametrize("system", [None, "Be brief."])
@pytest.mark.parametrize("name", templates.names())
def test_jinja_writes_what_the_template_writes(name: str, system: str | None) -> None:
    template = templates.get(name)
    written = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(as_jinja(template))
    for texts in CHATS:
        roles = [("user", "assistant")[number % 2] for number in range(len(texts))]
        turns = tuple(Turn(role, f"{text} what" if text == IMAGE_MARK else text)
                      for role, text in zip(roles, texts, strict=True))
        said = Conversation(turns, (ImageRef(data=b"x"),) * texts.count(IMAGE_MARK), system)
        messages = [message(role, text) for role, text in zip(roles, texts, strict=True)]
        before = [] if system is None else [{"role": "system", "content": system}]
        assert written.render(messages=before + messages) == text_of(template.pieces(said), IMAGE_MARK), texts


@pytest.mark.parametrize("name", [*templates.names(), "chat_template"])
def test_a_template_comes_back_from_a_processors_config(name: str, tmp_path: Any) -> None:
    if name == "chat_template":
        source = "{% for m in messages %}{{ m.role + ': ' + m.content + '</s>' }}{% endfor %}"
        for file in tiny.tokenizer_folder().iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / "chat_template.jinja").write_text(source, encoding="utf-8")
        template: Any = template_of_tokenizer(open_tokenizer(tmp_path))
    else:
        template = templates.get(name)
    original = OriginalEncoding(bos_twice=True)
    wording = Wording(training=template, chat=template, rule=LabelRule(), original=original)
    values = json.loads(json.dumps(template_values(wording, legacy_tokenizer=True)))
    assert template_of(values) == (template, original)
