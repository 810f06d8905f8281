"""The page: gradio's components around a `Visitor` each. Nothing is fetched from other hosts, nothing is shared.

Several visitors talk to one model; their questions are answered one after another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.extras import import_extra
from minigpt4.serve.visitor import MAX_FILE_MB, Knobs, Visitor
from minigpt4.serve.wording import ENGLISH, WORDINGS

if TYPE_CHECKING:
    from gradio import Blocks

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

ONE_AT_A_TIME = "model"
"""gradio's name for the queue that all answers share"""

STYLE = """
.gradio-container { max-width: 900px !important; margin: 0 auto !important; }
#top { flex-wrap: nowrap; align-items: center; }
#heading { flex: 1 1 auto; min-width: 0; }
#language { flex: 0 0 auto; min-width: 0; width: auto; }
#language .wrap { flex-wrap: nowrap; }
#dark { flex: 0 0 auto; min-width: 0; width: auto; }
#notice { min-height: 1.6em; padding: 0 .5em; color: var(--body-text-color-subdued); }
#examples .gallery { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .5em; }
#examples .gallery-item { width: 100%; text-align: left; }
#examples .gallery-item img { width: 72px; height: 72px; object-fit: contain; }
#conversation button[aria-label="Share"], #conversation button[title="Share"] { display: none; }
@media (max-width: 640px) { #top { flex-wrap: wrap; } #examples .gallery { grid-template-columns: 1fr; } }
"""
OWN_LANGUAGE = "() => navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en'"
NOTHING_WRITTEN = {"text": "", "files": []}
SWITCH_DARK = "() => { document.body.classList.toggle('dark'); }"


@dataclass(frozen=True)
class Example:
    """An example question and image file."""

    image: str
    question: str


def import_gradio() -> Any:
    """gradio, or the sentence that says how to get it."""
    return import_extra("gradio", "demo", where="minigpt4 demo", without="minigpt4 chat")


def build_page(loaded: LoadedModel, *, examples: Sequence[Example] = (), knobs: Knobs | None = None,
               about: Mapping[str, str] | None = None) -> Any:
    """The page as gradio `Blocks`, ready for `launch`.

    Args:
        loaded: the model.
        examples: offered below the conversation.
        knobs: where the settings stand at first.
        about: a sentence on what the model knows, by language code; shown below the heading.
    """
    gradio = import_gradio()
    knobs, about = knobs or Knobs(), about or {}
    with gradio.Blocks(title="MiniGPT-4", analytics_enabled=False, fill_height=True) as page:
        visitor = gradio.State()
        with gradio.Row(elem_id="top"):
            heading = gradio.Markdown(_heading("en", about), elem_id="heading")
            language = gradio.Radio([(words.name, code) for code, words in WORDINGS.items()], value="en",
                                    show_label=False, container=False, elem_id="language")
            dark = gradio.Button(ENGLISH.dark, size="sm", elem_id="dark")
        chatbot = gradio.Chatbot(show_label=False, height=460, elem_id="conversation", buttons=["copy"],
                                 placeholder=ENGLISH.empty, feedback_options=None, layout="bubble")
        notice = gradio.Markdown("", elem_id="notice")
        question = gradio.MultimodalTextbox(file_types=["image"], file_count="multiple", sources=["upload"],
                                            placeholder=ENGLISH.placeholder, show_label=False, autofocus=True,
                                            elem_id="question", max_plain_text_length=10000)
        with gradio.Row():
            stop = gradio.Button(ENGLISH.stop, variant="stop", elem_id="stop")
            retry = gradio.Button(ENGLISH.retry, elem_id="retry")
            clear = gradio.Button(ENGLISH.clear, elem_id="clear")
        with gradio.Accordion(ENGLISH.settings, open=False, elem_id="settings") as settings:
            temperature = gradio.Slider(0, 2, knobs.temperature, step=0.1, label=ENGLISH.temperature,
                                        info=ENGLISH.temperature_info)
            beams = gradio.Slider(1, 10, knobs.num_beams, step=1, label=ENGLISH.beams, info=ENGLISH.beams_info)
            length = gradio.Slider(10, 2000, knobs.max_new_tokens, step=10, label=ENGLISH.length,
                                   info=ENGLISH.length_info)
        if examples:
            gradio.Examples([[{"text": one.question, "files": [one.image]}] for one in examples], [question],
                            label=f"{ENGLISH.examples} · {WORDINGS['zh'].examples}", elem_id="examples")

        asked = [visitor, question, temperature, beams, length, language]
        answered = [visitor, chatbot, notice, question]
        at_once = {"queue": False, "show_progress": "hidden"}
        model = {"concurrency_id": ONE_AT_A_TIME, "concurrency_limit": 1, "show_progress": "hidden"}
        question.submit(_begin(loaded), [visitor], [visitor], **at_once).then(_ask(loaded), asked, answered, **model)
        retry.click(_begin(loaded), [visitor], [visitor], **at_once).then(
            _retry(loaded), [visitor, temperature, beams, length, language], answered[:3], **model)
        stop.click(_stop, [visitor], None, queue=False)
        gradio.on([clear.click, chatbot.clear], _clear(loaded), [visitor], answered, queue=False)
        dark.click(None, js=SWITCH_DARK)
        worded = [heading, dark, chatbot, question, stop, retry, clear, settings, temperature, beams, length]
        language.change(_reword(about), [language], worded, queue=False, show_progress="hidden")
        page.load(None, None, [language], js=OWN_LANGUAGE, queue=False)
        page.load(lambda: Visitor(loaded), None, [visitor], queue=False, show_progress="hidden")
    return page


def launch(page: Blocks, *, host: str, port: int | None, share: bool, wait: bool = True) -> str:
    """Serve the page; returns its address (after Ctrl-C, unless `wait` is False).

    Args:
        host: 127.0.0.1 = this machine only, 0.0.0.0 = the network.
        port: None = the first free one from 7860.
        share: True = a public address through gradio's servers.
        wait: False = return while the page is being served.
    """
    gradio = import_gradio()
    theme = gradio.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    page.queue(default_concurrency_limit=None)
    try:
        _, address, public = page.launch(
            server_name=host, server_port=port, share=share, quiet=True, prevent_thread_lock=True, theme=theme,
            css=STYLE, max_file_size=f"{MAX_FILE_MB}mb", footer_links=[], ssr_mode=False, show_error=True,
        )
    except OSError as error:
        raise UserError("demo.port", where=f"--port {port}", what=f"cannot be served ({error})",
                        fix="choose another one, or leave it out to take a free one") from error
    if wait:
        print(f"serving at {public or address} (press Ctrl-C to stop)", flush=True)
        page.block_thread()
    return str(public or address)


def _heading(language: str, about: Mapping[str, str]) -> str:
    words = WORDINGS[language]
    return "\n\n".join([f"## MiniGPT-4 · {words.title}\n{words.how_to}", *filter(None, [about.get(language)])])


def _begin(loaded: LoadedModel) -> Any:
    def begin(visitor: Visitor | None) -> Visitor:
        visitor = visitor or Visitor(loaded)
        visitor.begin()
        return visitor

    return begin


def _ask(loaded: LoadedModel) -> Any:
    def ask(visitor: Visitor | None, question: dict[str, Any], temperature: float, beams: int, length: int,
            language: str) -> Iterator[tuple[Any, ...]]:
        visitor = visitor or Visitor(loaded)
        text, files = question.get("text") or "", [str(file) for file in question.get("files") or []]
        for view in visitor.ask(text, files, Knobs(temperature, beams, length), WORDINGS[language]):
            yield visitor, list(view.messages), view.notice, question if view.refused else NOTHING_WRITTEN

    return ask


def _retry(loaded: LoadedModel) -> Any:
    def retry(visitor: Visitor | None, temperature: float, beams: int, length: int, language: str
              ) -> Iterator[tuple[Any, ...]]:
        visitor = visitor or Visitor(loaded)
        for view in visitor.retry(Knobs(temperature, beams, length), WORDINGS[language]):
            yield visitor, list(view.messages), view.notice

    return retry


def _stop(visitor: Visitor | None) -> None:
    if visitor is not None:
        visitor.stop()


def _clear(loaded: LoadedModel) -> Any:
    def clear(visitor: Visitor | None) -> tuple[Any, ...]:
        visitor = visitor or Visitor(loaded)
        return visitor, list(visitor.clear().messages), "", NOTHING_WRITTEN

    return clear


def _reword(about: Mapping[str, str]) -> Any:
    def reword(language: str) -> list[Any]:
        gradio = import_gradio()
        words = WORDINGS[language]
        return [
            _heading(language, about), gradio.update(value=words.dark), gradio.update(placeholder=words.empty),
            gradio.update(placeholder=words.placeholder), gradio.update(value=words.stop),
            gradio.update(value=words.retry), gradio.update(value=words.clear), gradio.update(label=words.settings),
            gradio.update(label=words.temperature, info=words.temperature_info),
            gradio.update(label=words.beams, info=words.beams_info),
            gradio.update(label=words.length, info=words.length_info),
        ]

    return reword
