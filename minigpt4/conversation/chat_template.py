"""The tokenizer's own `chat_template` (jinja) as a `Template`: what stands around words is found by rendering.

A few conversations of marker words are rendered in jinja's sandbox, and what stands between the markers becomes data.
Every conversation is rendered both ways before it is used: where the jinja text does something that depends on the
words or the number of turns, and the two differ, it is refused, so labels are never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NoReturn

from jinja2 import Template as JinjaText
from jinja2 import TemplateError

from minigpt4.common.errors import UserError
from minigpt4.common.registry import templates
from minigpt4.conversation.jinja_sandbox import MAX_CHARACTERS, BoundedSandbox
from minigpt4.conversation.pieces import Piece, Span, text_of
from minigpt4.conversation.template import Template
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn

NAME = "chat_template"
QUESTION, ANSWER, LATER_QUESTION, LATER_ANSWER, SYSTEM = (f"\ue000{number}\ue001" for number in range(5))
"""marker words, in characters that no template writes"""

Message = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ChatTemplate(Template):
    """A template that was found in jinja text, and holds every conversation against it.

    Args:
        source: the jinja text.
        names: values of its variables (`bos_token`, `eos_token`).
        trims: it strips blanks around what people say.
    """

    source: str
    names: Mapping[str, str] = field(default_factory=dict)
    trims: bool = False

    def pieces(self, conversation: Conversation, *, opens_answer: bool = True) -> list[Piece]:
        """As `Template.pieces`.

        Raises:
            UserError: the jinja text writes this conversation in another way.
        """
        said = self._trimmed(conversation) if self.trims else conversation
        pieces = super().pieces(said, opens_answer=opens_answer)
        opens = opens_answer and bool(said.turns) and said.turns[-1].role == "user"
        written = render(self._jinja, self._messages(said), self.names, opens_answer=opens)
        if written != text_of(pieces, IMAGE_MARK):
            _refuse("does not write this conversation turn by turn, so its answers cannot be located exactly")
        return pieces

    @cached_property
    def _jinja(self) -> JinjaText:
        return compiled(self.source)

    @staticmethod
    def _trimmed(conversation: Conversation) -> Conversation:
        turns = tuple(replace(turn, text=turn.text.strip()) for turn in conversation.turns)
        system = None if conversation.system is None else conversation.system.strip()
        return replace(conversation, turns=turns, system=system)

    def _messages(self, conversation: Conversation) -> list[Message]:
        """The turns as messages, images at their marks with what stands between them and the words."""
        system = [] if conversation.system is None else [{"role": "system", "content": conversation.system}]
        return system + [{"role": turn.role, "content": self._content(turn)} for turn in conversation.turns]

    def _content(self, turn: Turn) -> str:
        if turn.role == "assistant":
            return turn.text
        return "".join(each.text if isinstance(each, Span) else IMAGE_MARK for each in self._said(turn.text))


def named_template(name: str, tokenizer: Tokenizer) -> Template:
    """A registered template, or the tokenizer's own for the name `chat_template`. Raises `UserError` for neither."""
    if name == NAME:
        return template_of_tokenizer(tokenizer)
    template: Template = templates.get(name, where="model.template")
    return template


def template_of_tokenizer(tokenizer: Tokenizer) -> ChatTemplate:
    """The template that a tokenizer's folder brings.

    Raises:
        UserError: it brings none, its jinja text is wrong, or answers cannot be told apart from the text around them.
    """
    source = tokenizer.chat_template
    if not source:
        raise UserError("template.chat_template", where="model.template", what="is chat_template, and this tokenizer "
                        "has none", fix="name a template: chatml, llama_3, gemma, mistral, phi_3, …")
    jinja, names = compiled(source), _names(tokenizer)

    def written(*messages: tuple[str, str], opens_answer: bool = False) -> str:
        said = [{"role": role, "content": text} for role, text in messages]
        return render(jinja, said, names, opens_answer=opens_answer)

    asked = ("user", QUESTION)
    once = written(asked, ("assistant", ANSWER))
    twice = written(asked, ("assistant", ANSWER), ("user", LATER_QUESTION), ("assistant", LATER_ANSWER))
    before, between, end = _split(once, QUESTION, ANSWER)
    first, between_first, middle, between_later, end_later = _split(
        twice, QUESTION, ANSWER, LATER_QUESTION, LATER_ANSWER)
    user_suffix = written(asked).partition(QUESTION)[2]
    if (first, end_later) != (before, end) or not (between == between_first == between_later) or not end.strip() or \
            not middle.startswith(end) or not between.startswith(user_suffix):
        _refuse("does not write every turn alike, or does not say where an answer ends")
    later_user_prefix = middle.removeprefix(end)
    around = _around_system(before, later_user_prefix, _with_system(jinja, names))
    opened = written(asked, opens_answer=True).partition(QUESTION)[2].removeprefix(user_suffix)
    assistant_prefix = between.removeprefix(user_suffix)
    if opened not in ("", assistant_prefix):
        _refuse("opens an answer otherwise than it writes one, so training and chat would differ")
    return ChatTemplate(
        name=NAME, begins_with_bos="spelled", head=around.head, system_prefix=around.system_prefix,
        system=around.system, system_suffix=around.system_suffix, system_always=around.system_always,
        user_prefix=around.user_prefix,
        later_user_prefix=later_user_prefix, user_suffix=user_suffix,
        assistant_prefix=assistant_prefix, answer_end=end, image_joint="\n",
        stops=_stops(end, names), source=source, names=names,
        trims=f" {QUESTION}" not in written(("user", f" {QUESTION} "), ("assistant", ANSWER)),
    )


def compiled(source: str) -> JinjaText:
    """Jinja text in a sandbox: no file, no import, no attribute that could act. Raises `UserError` for wrong syntax."""
    environment = BoundedSandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.globals["raise_exception"] = _raise
    try:
        return environment.from_text(source)
    except (TemplateError, SyntaxError, RecursionError) as error:
        _refuse(f"is not jinja ({error})")


def render(jinja: JinjaText, messages: list[Message], names: Mapping[str, str], *, opens_answer: bool) -> str:
    """The text of messages. Raises `UserError` if the template refuses them or writes without end."""
    parts, length = [], 0
    assert isinstance(jinja.environment, BoundedSandbox), "made by `compiled`"
    jinja.environment.steps.reset()
    try:
        for part in jinja.generate(messages=messages, add_generation_prompt=opens_answer, **names):
            parts.append(part)
            length += len(part)
            if length > MAX_CHARACTERS:
                _refuse(f"writes more than {MAX_CHARACTERS:,} characters")
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RuntimeError,
            MemoryError) as error:
        _refuse(f"refuses a conversation ({error})")
    return "".join(parts)


def _around_system(before: str, user_prefix: str, with_system: str | None) -> Template:
    """What stands before the first question, with and without a system text, as fields of a template."""
    if not before.endswith(user_prefix):
        if with_system is not None:
            _refuse("writes the system text into the first turn")
        return Template(name=NAME, user_prefix=before)
    head = before.removesuffix(user_prefix)
    if with_system is None:
        return Template(name=NAME, head=head, user_prefix=user_prefix)
    prefix, suffix = _split(with_system.partition(QUESTION)[0], SYSTEM)
    if not suffix.endswith(user_prefix):
        _refuse("writes the system text into the first turn")
    suffix = suffix.removesuffix(user_prefix)
    if head and head.startswith(prefix) and head.endswith(suffix) and len(head) >= len(prefix) + len(suffix) > 0:
        system = head[len(prefix) : len(head) - len(suffix)]
        return Template(name=NAME, system_prefix=prefix, system=system, system_suffix=suffix, system_always=True,
                        user_prefix=user_prefix)
    if not prefix.startswith(head):
        _refuse("begins otherwise with a system text than without one")
    return Template(name=NAME, head=head, system_prefix=prefix.removeprefix(head), system_suffix=suffix,
                    user_prefix=user_prefix)


def _with_system(jinja: JinjaText, names: Mapping[str, str]) -> str | None:
    """A conversation with a system text, None if the template knows none."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    try:
        written = render(jinja, messages, names, opens_answer=False)
    except UserError:
        return None
    return written if written.count(SYSTEM) == 1 else None


def _split(text: str, *markers: str) -> list[str]:
    parts = []
    for marker in markers:
        before, found, text = text.partition(marker)
        if not found or marker in text:
            _refuse("leaves out, or repeats, what people say")
        parts.append(before)
    return [*parts, text]


def _stops(end: str, names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in (end.strip(), names.get("eos_token", "")) if text))


def _names(tokenizer: Tokenizer) -> dict[str, str]:
    by_number = {number: name for name, number in tokenizer.special_tokens.items()}
    roles = {"bos_token": tokenizer.bos_token_id, "eos_token": tokenizer.eos_token_id}
    return {role: by_number[number] for role, number in roles.items() if number in by_number}


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _refuse(what: str) -> NoReturn:
    raise UserError("template.chat_template", where="the tokenizer's chat_template", what=what,
                    fix="name a template instead: chatml, llama_3, gemma, mistral, phi_3, …")
