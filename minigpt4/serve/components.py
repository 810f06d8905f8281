"""gradio's components of the page, where they stand, and which event calls what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minigpt4.conversation.template import Template
from minigpt4.serve.handlers import Example, Handlers, in_language
from minigpt4.serve.knobs import Knobs
from minigpt4.serve.limits import Limits
from minigpt4.serve.shown import Title, as_empty, as_heading
from minigpt4.serve.wording import ENGLISH, WORDINGS, Wording

if TYPE_CHECKING:
    from gradio import Blocks
    from gradio.events import Dependency

AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
IN_LINE: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
"""gradio sets no limit: the line is kept by `Visitors`"""
FOCUS = "() => minigpt4.focus()"


@dataclass(frozen=True)
class Head:
    """What the page is, its language and colours."""

    heading: Any
    language: Any
    dark: Any


@dataclass(frozen=True)
class Talk:
    """The conversation, sentences beside it, and the box with its buttons."""

    chatbot: Any
    notice: Any
    question: Any
    camera: Any
    stop: Any
    keys: Any


@dataclass(frozen=True)
class Tools:
    """What can be done with an answer or with the whole conversation."""

    row: Any
    retry: Any
    edit: Any
    delete: Any
    markdown: Any
    json: Any
    clear: Any


@dataclass(frozen=True)
class Settings:
    """How answers are chosen."""

    panel: Any
    temperature: Any
    beams: Any
    length: Any
    top_p: Any
    seed: Any
    system: Any


@dataclass(frozen=True)
class Unseen:
    """Values that pass between server and browser and are not shown."""

    token: Any
    number: Any
    taken_away: Any


@dataclass(frozen=True)
class Parts:
    """All components, and what they were made from."""

    head: Head
    talk: Talk
    tools: Tools
    settings: Settings
    unseen: Unseen
    examples: Sequence[Example]
    title: Title
    takes_system: bool

    @classmethod
    def make(cls, examples: Sequence[Example], knobs: Knobs, title: Title, limits: Limits, template: Template
             ) -> Parts:
        """The components in their places, inside gradio's `Blocks`."""
        import gradio

        head = _head(title)
        chatbot = gradio.Chatbot(  # what people and models write is shown as text: markdown could ask other hosts
            show_label=False, elem_id="conversation", buttons=[], placeholder=as_empty(ENGLISH),
            examples=_offered(examples, "en"), feedback_options=None, layout="bubble", render_markdown=False,
            allow_tags=False, latex_delimiters=[], height=None, scale=1)
        gradio.HTML('<p class="error" role="alert" hidden></p>', elem_id="local", js_on_load=None)  # page.js writes it
        notice = gradio.HTML("", elem_id="notice", js_on_load=None)
        stop = gradio.Button(ENGLISH.stop, variant="stop", size="sm", elem_id="stop", visible=False)
        tools = _tools()
        with gradio.Row(elem_id="ask"):
            camera = gradio.Button(ENGLISH.camera, size="sm", elem_id="camera")
            question = gradio.MultimodalTextbox(
                file_types=["image"], file_count="multiple", sources=["upload"], placeholder=ENGLISH.placeholder,
                show_label=False, autofocus=False, elem_id="question", max_plain_text_length=10000)
        keys = gradio.HTML(_keys(ENGLISH), elem_id="keys", js_on_load=None)
        settings = _settings(knobs, limits, takes_system=template.takes_system)
        unseen = Unseen(gradio.Textbox(visible=False), gradio.Number(visible=False), gradio.Textbox(visible=False))
        talk = Talk(chatbot, notice, question, camera, stop, keys)
        return cls(head, talk, tools, settings, unseen, examples, title, template.takes_system)

    def connect(self, on: Handlers, site: Blocks) -> None:
        """Which event of gradio's `Blocks` and of the components calls what."""
        self._connect_questions(on)
        self._connect_tools(on)
        self._connect_page(on, site)

    def _connect_questions(self, on: Handlers) -> None:
        talk, tools, settings = self.talk, self.tools, self.settings
        panel = [settings.temperature, settings.beams, settings.length, self.head.language, settings.top_p,
                 settings.seed, settings.system]
        buttons, shown = [talk.stop, tools.row], [talk.chatbot, talk.notice]

        def settle(event: Dependency) -> None:
            event.then(on.settled, None, buttons, **AT_ONCE).then(None, None, None, js=FOCUS)

        settle(talk.question.submit(on.begin, None, buttons, **AT_ONCE)
               .then(on.ask, [talk.question, *panel], [*shown, talk.question], **IN_LINE))
        settle(talk.chatbot.example_select(on.choose, self.head.language, [self.unseen.number, *buttons], **AT_ONCE)
               .then(on.ask_example, [self.unseen.number, *panel], shown, **IN_LINE))
        settle(tools.retry.click(on.begin, None, buttons, **AT_ONCE).then(on.retry, panel, shown, **IN_LINE))
        talk.stop.click(on.stop, None, None, **AT_ONCE)
        talk.camera.click(None, js="() => minigpt4.camera()")

    def _connect_tools(self, on: Handlers) -> None:
        talk, tools, language, taken = self.talk, self.tools, self.head.language, self.unseen.taken_away
        buttons, shown = [talk.stop, tools.row], [talk.chatbot, talk.notice]
        for event in (tools.edit.click(on.edit, language, [*shown, talk.question, *buttons], **AT_ONCE),
                      tools.delete.click(on.delete, language, [*shown, *buttons], **AT_ONCE),
                      tools.clear.click(on.clear, None, [*shown, talk.question, *buttons], **AT_ONCE)):
            event.then(None, None, None, js=FOCUS)
        tools.markdown.click(on.markdown, language, taken, **AT_ONCE).then(
            None, taken, None, js="text => minigpt4.save(text, 'md', 'text/markdown')")
        tools.json.click(on.json, None, taken, **AT_ONCE).then(
            None, taken, None, js="text => minigpt4.save(text, 'json', 'application/json')")

    def _connect_page(self, on: Handlers, site: Blocks) -> None:
        talk, language = self.talk, self.head.language
        language.change(self._reword, language, self._worded, **AT_ONCE).then(
            on.messages, language, talk.chatbot, **AT_ONCE)
        language.change(None, language, None, js="code => minigpt4.reword(code)")
        self.head.dark.click(None, js="() => minigpt4.dark()")
        site.load(None, None, language, js="() => { minigpt4.started(); return minigpt4.language(); }")
        site.load(on.arrive, [self.unseen.token, language], [talk.chatbot, talk.stop, self.tools.row], **AT_ONCE,
                  js="() => [minigpt4.token(), minigpt4.language()]").then(
            None, language, None, js="code => minigpt4.arrived(code)")
        site.unload(on.leave)

    @property
    def _worded(self) -> list[Any]:
        head, talk, tools, settings = self.head, self.talk, self.tools, self.settings
        return [head.heading, head.dark, head.language, talk.chatbot, talk.question, talk.camera, talk.stop, talk.keys,
                tools.retry, tools.edit, tools.delete, tools.markdown, tools.json, tools.clear, settings.panel,
                settings.temperature, settings.beams, settings.length, settings.top_p, settings.seed, settings.system]

    def _reword(self, language: str) -> list[Any]:
        from gradio import update

        words = WORDINGS.get(language, ENGLISH)
        return [
            as_heading(self.title, language, words), words.dark, update(label=words.language),
            update(placeholder=as_empty(words), examples=_offered(self.examples, language)),
            update(placeholder=words.placeholder), words.camera, words.stop, _keys(words),
            words.retry, words.edit, words.delete, words.as_markdown, words.as_json, words.clear,
            update(label=words.settings), update(label=words.temperature, info=words.temperature_info),
            update(label=words.beams, info=words.beams_info), update(label=words.length, info=words.length_info),
            update(label=words.top_p, info=words.top_p_info), update(label=words.seed, info=words.seed_info),
            update(label=words.system, info=words.system_info if self.takes_system else words.no_system),
        ]


def _head(title: Title) -> Head:
    import gradio

    with gradio.Row(elem_id="top"):
        heading = gradio.HTML(as_heading(title, "en", ENGLISH), elem_id="heading", js_on_load=None)
        language = gradio.Radio([(words.name, code) for code, words in WORDINGS.items()], value="en",
                                label=ENGLISH.language, show_label=False, container=False, elem_id="language")
        dark = gradio.Button(ENGLISH.dark, size="sm", elem_id="dark")
    return Head(heading, language, dark)


def _tools() -> Tools:
    from gradio import Button, Row

    with Row(elem_id="tools", visible=False) as row:
        return Tools(row, *(Button(words, size="sm", elem_id=name) for name, words in (
            ("retry", ENGLISH.retry), ("edit", ENGLISH.edit), ("delete", ENGLISH.delete),
            ("markdown", ENGLISH.as_markdown), ("json", ENGLISH.as_json), ("clear", ENGLISH.clear))))


def _settings(knobs: Knobs, limits: Limits, *, takes_system: bool) -> Settings:
    import gradio

    longest = knobs.max_new_tokens
    with gradio.Accordion(ENGLISH.settings, open=False, elem_id="settings") as panel:
        temperature = gradio.Slider(0, limits.temperature, knobs.temperature, step=0.1, label=ENGLISH.temperature,
                                    info=ENGLISH.temperature_info, elem_id="temperature")
        top_p = gradio.Slider(0.05, 1, knobs.top_p, step=0.05, label=ENGLISH.top_p, info=ENGLISH.top_p_info)
        seed = gradio.Textbox("" if knobs.seed is None else str(knobs.seed), max_lines=1, max_length=10,
                              label=ENGLISH.seed, info=ENGLISH.seed_info, elem_id="seed")
        beams = gradio.Slider(1, limits.beams, knobs.num_beams, step=1, label=ENGLISH.beams, info=ENGLISH.beams_info)
        length = gradio.Slider(min(10, longest), limits.new_tokens, longest, step=10, label=ENGLISH.length,
                               info=ENGLISH.length_info, elem_id="length")
        system = gradio.Textbox(knobs.system, lines=2, max_lines=6, max_length=limits.system_characters,
                                label=ENGLISH.system, interactive=takes_system, elem_id="system",
                                info=ENGLISH.system_info if takes_system else ENGLISH.no_system)
    return Settings(panel, temperature, beams, length, top_p, seed, system)


def _offered(examples: Sequence[Example], language: str) -> Any:
    return [{"text": one.question, "files": list(one.images)} for one in in_language(examples, language)]


def _keys(words: Wording) -> str:
    return f"<p>{words.keys}</p>"
