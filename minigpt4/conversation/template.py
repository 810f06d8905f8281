"""Templates as data: what stands around words and images. Every template is an instance, none has code of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from minigpt4.conversation.pieces import IMAGE_PLACE, Piece, Span, Stretch, cut
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn

Bos = Literal["always", "never", "tokenizer", "spelled"]
THINKING_ENDS = "</think>"


@dataclass(frozen=True, kw_only=True)
class Template:
    """What stands around words and images.

    Args:
        name: registered name.
        begins_with_bos: 'always' = the tokenizer's BOS, where it has one; 'never'; 'tokenizer' = as the tokenizer does
            by itself; 'spelled' = the template's own text begins with it.
        head: what every conversation begins with.
        system: text before the first turn, unless the conversation brings its own. system_prefix, system_suffix: around
            it. system_always: they stand there without a system text, too. system_in_first_turn: all of it stands
            behind the first `user_prefix` (Llama-2) instead of before it.
        user_prefix: before what the user says; `later_user_prefix`: the same from the second turn on, where it differs.
            user_suffix: after it.
        assistant_prefix: before an answer, never learned. answer_prefix: own text that is learned with each answer.
            assistant_open: both, for an answer that is still to come, where that is written in another way.
        answer_end: closes an answer, learned; it may be several tokens. ended_by: an answer that ends with one of these
            texts is closed by it instead, in an original's encoding that reads tokens in text.
        image_prefix, image_suffix: around each image. image_joint: what stands between an image and the words or images
            beside it, whatever blank or newline they came with; None = as they came.
        image_run: text whose ids stand at the slots of an image (an original's placeholders); '' = id 0.
        stops: texts that end an answer; never shown.
        cut: where text is cut into pieces: 'images' = only there, 'answers' = around each answer, too.
        own_turn_per_image: each image is a user turn of its own in chat; `image_received`: what answers it.
        ignores_questions: only the images of a user turn are kept (captions as LLaVA's stage 1 wrote them).
        empty_answer_is_open: an answer without text gets no end, as LLaVA's code wrote it; `standard` closes it.
        thinks: thoughts of an answer (`<think>…</think>`) are brought into the form of `answer_prefix`.
    """

    name: str
    begins_with_bos: Bos = "always"
    head: str = ""
    system: str = ""
    system_prefix: str = ""
    system_suffix: str = ""
    system_always: bool = False
    system_in_first_turn: bool = False
    user_prefix: str = ""
    later_user_prefix: str | None = None
    user_suffix: str = ""
    assistant_prefix: str = ""
    answer_prefix: str = ""
    assistant_open: str | None = None
    answer_end: str = "\n"
    ended_by: tuple[str, ...] = ()
    image_prefix: str = ""
    image_suffix: str = ""
    image_joint: str | None = " "
    image_run: str = ""
    stops: tuple[str, ...] = ()
    cut: Literal["images", "answers"] = "images"
    own_turn_per_image: bool = False
    image_received: str = ""
    ignores_questions: bool = False
    empty_answer_is_open: bool = False
    thinks: bool = False

    def pieces(self, conversation: Conversation, *, opens_answer: bool = True) -> list[Piece]:
        """The pieces of a conversation.

        Args:
            conversation: the turns.
            opens_answer: one that ends with a user turn ends with the beginning of the answer.
        """
        return cut(self._stretches(conversation, opens_answer), around_answers=self.cut == "answers")

    @property
    def opened(self) -> str:
        """What stands before an answer that is still to come."""
        return self.assistant_prefix + self.answer_prefix if self.assistant_open is None else self.assistant_open

    @property
    def takes_system(self) -> bool:
        """True where a system text has a place: the template has one of its own, or says what stands around one."""
        return bool(self.system or self.system_prefix or self.system_suffix)

    def question(self, text: str, number_of_images: int) -> tuple[Turn, ...]:
        """The user's turns that show images and then ask: how chat, captions and exams ask."""
        if not self.own_turn_per_image or not number_of_images:
            return (Turn("user", self.with_images_before(text, number_of_images)),)
        apart = number_of_images if self.image_received else number_of_images - 1
        shown: list[Turn] = []
        for _ in range(apart):
            shown.append(Turn("user", IMAGE_MARK))
            shown += [Turn("assistant", self.image_received)] if self.image_received else []
        return (*shown, Turn("user", self.with_images_before(text, number_of_images - apart)))

    def with_images_before(self, text: str, number_of_images: int) -> str:
        """The text of one user turn that shows images and then asks."""
        joint = " " if self.image_joint is None else self.image_joint
        return joint.join([IMAGE_MARK] * number_of_images + ([text] if text.strip() else [])).strip(" ")

    def _stretches(self, conversation: Conversation, opens_answer: bool) -> Iterator[Stretch]:
        turns = conversation.turns
        yield Span(self.head)
        system = self._system(self.system if conversation.system is None else conversation.system)
        if not self.system_in_first_turn:
            yield from system
        for number, turn in enumerate(turns):
            if turn.role == "assistant":
                yield from self._answer(turn.text, sum(each.role == "assistant" for each in turns[:number]))
                continue
            later = number > 0 and self.later_user_prefix is not None
            yield Span(self.later_user_prefix or "" if later else self.user_prefix)
            if self.system_in_first_turn and number == 0:
                yield from system
            yield from self._said(turn.text)
            yield Span(self.user_suffix)
            yield from self._after_user(turns, number, opens_answer)

    def _system(self, text: str) -> list[Span]:
        if not text and not self.system_always:
            return []
        return [Span(self.system_prefix), Span(text, own=text == self.system), Span(self.system_suffix)]

    def _after_user(self, turns: tuple[Turn, ...], number: int, opens_answer: bool) -> Iterator[Span]:
        following = turns[number + 1] if number + 1 < len(turns) else None
        if following is None:
            if opens_answer:
                yield Span(self.opened)
        elif following.role == "assistant":
            yield Span(self.opened if self._is_left_open(following.text) else self.assistant_prefix)

    def _answer(self, text: str, number: int) -> Iterator[Span]:
        if self._is_left_open(text):
            return
        prefix = self.answer_prefix
        if self.thinks:
            prefix, text = ("", _thoughts_in_form(text)) if THINKING_ENDS in text else (prefix, text.lstrip("\n"))
        end = next((end for end in self.ended_by if text.endswith(end)), self.answer_end)
        text = text.removesuffix(end) if end in self.ended_by else text
        yield from (Span(prefix, turn=number), Span(text, own=False, turn=number))
        yield Span(end, turn=number, is_end=True)

    def _is_left_open(self, text: str) -> bool:
        return self.empty_answer_is_open and not text

    def _said(self, text: str) -> Iterator[Stretch]:
        """The words of a user turn with the places of its images."""
        bare = text.replace(f"<Img>{IMAGE_MARK}</Img>", IMAGE_MARK)
        stretches = bare.split(IMAGE_MARK)
        if self.ignores_questions:
            stretches = [""] * len(stretches)
        for number, stretch in enumerate(stretches):
            if number:
                yield from (Span(self.image_prefix), IMAGE_PLACE, Span(self.image_suffix))
            yield from self._joined(stretch, after_image=number > 0, before_image=number < len(stretches) - 1)

    def _joined(self, text: str, *, after_image: bool, before_image: bool) -> Iterator[Span]:
        if self.image_joint is None or self.ignores_questions:
            yield Span(text, own=False)
            return
        text = text[1:] if after_image and text[:1] in (" ", "\n") else text
        text = text[:-1] if before_image and text[-1:] in (" ", "\n") else text
        if after_image and (text or before_image):
            yield Span(self.image_joint)
        yield Span(text, own=False)
        if before_image and text:
            yield Span(self.image_joint)


def template_around_prompt(prompt_template: str, end_sym: str, *, name: str = "prompt_template") -> Template:
    """The template that an original YAML spells as `prompt_template` and `end_sym` (training of the originals)."""
    before, _, after = prompt_template.partition("{}")
    return Template(
        name=name, user_prefix=before, user_suffix=after, answer_end=end_sym, image_prefix="<Img>",
        image_suffix="</Img>", image_joint=None, stops=(end_sym,), cut="answers",
    )


def _thoughts_in_form(text: str) -> str:
    """Thoughts and answer as Qwen3's and MiniMind's templates write them: a line each side, then an empty one."""
    thoughts, _, answer = text.rpartition(THINKING_ENDS)
    thoughts = text.partition(THINKING_ENDS)[0].rstrip("\n").rpartition("<think>")[2].lstrip("\n")
    return f"<think>\n{thoughts.strip(chr(10))}\n{THINKING_ENDS}\n\n{answer.lstrip(chr(10))}"
