"""The page: gradio's components around a `Visitor` each. Nothing is fetched from other hosts, nothing is shared.

Several visitors talk to one model; their questions are answered one after another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.extras import import_extra
from minigpt4.serve.address import bypass_proxies, warning
from minigpt4.serve.gate import Gate
from minigpt4.serve.handlers import Handlers
from minigpt4.serve.limits import Limits
from minigpt4.serve.private_folder import PrivateFolder
from minigpt4.serve.uploads import Uploads
from minigpt4.serve.visitor import Knobs
from minigpt4.serve.visitors import Visitors
from minigpt4.serve.wording import ENGLISH, WORDINGS

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
os.environ.setdefault("GRADIO_RUN_HISTORY", "False")

REMEMBERED_SESSIONS = 100
"""sessions of which gradio keeps its own copy of the page; `Visitors` keep the conversations"""

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
SWITCH_DARK = "() => { document.body.classList.toggle('dark'); }"


@dataclass(frozen=True)
class Example:
    """An example question and image file."""

    image: str
    question: str


def import_gradio() -> Any:
    """gradio, or the sentence that says how to get it."""
    return import_extra("gradio", "demo", where="minigpt4 demo", without="minigpt4 chat")


@dataclass(frozen=True)
class Page:
    """A page that can be served, and what it keeps for its visitors."""

    site: Any
    """gradio's `Blocks`"""
    visitors: Visitors
    folder: PrivateFolder

    @property
    def blocks(self) -> dict[int, Any]:
        """gradio's components by number."""
        components: dict[int, Any] = self.site.blocks
        return components

    def close(self) -> None:
        """Stop serving, end all conversations, delete all files."""
        self.visitors.close()
        self.site.close(verbose=False)
        self.folder.remove()


def build_page(loaded: LoadedModel, *, examples: Sequence[Example] = (), knobs: Knobs | None = None,
               about: Mapping[str, str] | None = None, limits: Limits | None = None) -> Page:
    """The page, ready for `launch`.

    Args:
        loaded: the model.
        examples: offered below the conversation.
        knobs: where the settings stand at first.
        about: a sentence on what the model knows, by language code; shown below the heading.
        limits: what visitors may ask of it.
    """
    gradio = import_gradio()
    knobs, about, limits, folder = knobs or Knobs(), about or {}, limits or Limits(), PrivateFolder()
    longest = knobs.max_new_tokens
    limits = replace(limits, new_tokens=max(limits.new_tokens, longest))
    visitors = Visitors(loaded, Uploads(folder.path, limits), limits)
    on = Handlers(visitors)
    with gradio.Blocks(title="MiniGPT-4", analytics_enabled=False, fill_height=True) as page:
        with gradio.Row(elem_id="top"):
            heading = gradio.Markdown(_heading("en", about), elem_id="heading")
            language = gradio.Radio([(words.name, code) for code, words in WORDINGS.items()], value="en",
                                    show_label=False, container=False, elem_id="language")
            dark = gradio.Button(ENGLISH.dark, size="sm", elem_id="dark")
        # what people and models write is shown as text: markdown could make the browser ask other hosts
        chatbot = gradio.Chatbot(show_label=False, height=460, elem_id="conversation", buttons=["copy"],
                                 placeholder=ENGLISH.empty, feedback_options=None, layout="bubble",
                                 render_markdown=False, allow_tags=False, latex_delimiters=[])
        notice = gradio.HTML("", elem_id="notice", js_on_load=None)
        question = gradio.MultimodalTextbox(file_types=["image"], file_count="multiple", sources=["upload"],
                                            placeholder=ENGLISH.placeholder, show_label=False, autofocus=True,
                                            elem_id="question", max_plain_text_length=10000)
        with gradio.Row():
            stop = gradio.Button(ENGLISH.stop, variant="stop", elem_id="stop")
            retry = gradio.Button(ENGLISH.retry, elem_id="retry")
            clear = gradio.Button(ENGLISH.clear, elem_id="clear")
        with gradio.Accordion(ENGLISH.settings, open=False, elem_id="settings") as settings:
            temperature = gradio.Slider(0, limits.temperature, knobs.temperature, step=0.1, label=ENGLISH.temperature,
                                        info=ENGLISH.temperature_info)
            beams = gradio.Slider(1, limits.beams, knobs.num_beams, step=1, label=ENGLISH.beams,
                                  info=ENGLISH.beams_info)
            length = gradio.Slider(min(10, longest), limits.new_tokens, longest, step=10, label=ENGLISH.length,
                                   info=ENGLISH.length_info)
        if examples:
            gradio.Examples([[{"text": one.question, "files": [one.image]}] for one in examples], [question],
                            label=f"{ENGLISH.examples} · {WORDINGS['zh'].examples}", elem_id="examples")

        panel, answered = [temperature, beams, length, language], [chatbot, notice, question]
        at_once = {"queue": False, "show_progress": "hidden"}
        in_line = {"concurrency_limit": None, "show_progress": "hidden"}  # the line is kept by `Visitors`
        question.submit(on.begin, None, None, **at_once).then(on.ask, [question, *panel], answered, **in_line)
        retry.click(on.begin, None, None, **at_once).then(on.retry, panel, answered[:2], **in_line)
        stop.click(on.stop, None, None, queue=False)
        gradio.on([clear.click, chatbot.clear], on.clear, None, answered, queue=False)
        dark.click(None, js=SWITCH_DARK)
        worded = [heading, dark, chatbot, question, stop, retry, clear, settings, temperature, beams, length]
        language.change(_reword(about), [language], worded, queue=False, show_progress="hidden")
        page.load(None, None, [language], js=OWN_LANGUAGE, queue=False)
        page.load(on.arrive, None, None, queue=False, show_progress="hidden")
        page.unload(on.leave)
    return Page(page, visitors, folder)


def launch(page: Page, *, host: str, port: int | None, share: bool, auth: tuple[str, str] | None = None,
           wait: bool = True) -> str:
    """Serve the page; returns its address (after Ctrl-C, unless `wait` is False).

    Args:
        page: closed at the end, also when it is interrupted; with `wait=False` that is the caller's.
        host: 127.0.0.1 = this machine only, 0.0.0.0 = the network.
        port: None = the first free one from 7860.
        share: True = a public address through gradio's servers.
        auth: user and password; None = everybody who reaches the address may come in.
        wait: False = return while the page is being served.
    """
    if not wait:
        return _serve(page, host, port, share, auth)
    try:
        address = _serve(page, host, port, share, auth)
        print(f"serving at {address} (press Ctrl-C to stop)", flush=True)
        if sentence := warning(host, share=share, auth=auth is not None):
            print(sentence, flush=True)
        page.site.block_thread()
    finally:
        page.close()
    return address


def _serve(page: Page, host: str, port: int | None, share: bool, auth: tuple[str, str] | None) -> str:
    gradio = import_gradio()
    from starlette.middleware import Middleware

    visitors, limits = page.visitors, page.visitors.limits
    gate = Middleware(Gate, uploads=visitors.uploads, limits=limits)  # type: ignore[arg-type]
    theme = gradio.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    page.site.queue(default_concurrency_limit=None, max_size=4 * limits.waiting)
    os.environ.pop("GRADIO_NUM_WORKERS", None)  # they would take uploads past the gate
    bypass_proxies(host)
    try:
        _, address, public = page.site.launch(
            server_name=host, server_port=port, share=share, auth=auth, quiet=True, prevent_thread_lock=True,
            theme=theme, css=STYLE, max_file_size=limits.file_bytes, footer_links=[], ssr_mode=False, show_error=False,
            mcp_server=False, enable_monitoring=False, max_threads=4 * limits.waiting,
            state_session_capacity=REMEMBERED_SESSIONS, app_kwargs={"middleware": [gate]},
        )
    except OSError as error:
        raise UserError("demo.port", where=f"--port {port}", what=f"cannot be served ({error})",
                        fix="choose another one, or leave it out to take a free one") from error
    visitors.watch()
    return str(public or address)


def _heading(language: str, about: Mapping[str, str]) -> str:
    words = WORDINGS[language]
    return "\n\n".join([f"## MiniGPT-4 · {words.title}\n{words.how_to}", *filter(None, [about.get(language)])])


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
