"""The page: gradio's components around a `Visitor` each. Nothing is fetched from other hosts, nothing is shared.

Several visitors talk to one model; their questions are answered one after another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.extras import import_extra
from minigpt4.serve.address import bypass_proxies, warning
from minigpt4.serve.components import Parts
from minigpt4.serve.gate import Gate
from minigpt4.serve.handlers import Example, Handlers
from minigpt4.serve.knobs import Knobs
from minigpt4.serve.limits import Limits
from minigpt4.serve.private_folder import PrivateFolder
from minigpt4.serve.shown import Title
from minigpt4.serve.uploads import Uploads
from minigpt4.serve.visitors import Visitors
from minigpt4.serve.wording import WORDINGS

__all__ = ["Example", "Page", "build_page", "import_gradio", "launch"]

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
os.environ.setdefault("GRADIO_RUN_HISTORY", "False")

REMEMBERED_SESSIONS = 100
"""sessions of which gradio keeps its own copy of the page; `Visitors` keep the conversations"""
IN_BROWSER = ("title", "placeholder", "attach", "remove", "send", "camera", "dark", "take_photo", "close", "no_camera",
              "larger")
"""words that page.js says"""


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
    learned: Path | None = None
    """HTML file that shows how the model learned"""

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
               about: Mapping[str, str] | None = None, limits: Limits | None = None, name: str = "",
               learned: Path | None = None) -> Page:
    """The page, ready for `launch`.

    Args:
        loaded: the model.
        examples: offered while there is no conversation, those of the visitor's language; a click sends one.
        knobs: where the settings stand at first.
        about: a sentence on what the model knows, by language code; shown below the heading.
        limits: what visitors may ask of it.
        name: of the model, shown in the heading.
        learned: HTML file that shows how the model learned; the heading links it.
    """
    gradio = import_gradio()
    knobs, limits, folder = knobs or Knobs(), limits or Limits(), PrivateFolder()
    limits = replace(limits, new_tokens=max(limits.new_tokens, knobs.max_new_tokens))
    visitors = Visitors(loaded, Uploads(folder.path, limits), limits)
    with gradio.Blocks(title="MiniGPT-4", analytics_enabled=False, fill_height=True) as site:
        title = Title(name, about or {}, learned=learned is not None)
        parts = Parts.make(examples, knobs, title, limits, loaded.renderer.chat)
        parts.connect(Handlers(visitors, examples, name), site)
    return Page(site, visitors, folder, learned)


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
    learned = page.learned.read_bytes() if page.learned and auth is None else None  # gradio asks who comes, we do not
    gate = Middleware(Gate, uploads=visitors.uploads, limits=limits, learned=learned)  # type: ignore[arg-type]
    theme = gradio.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    page.site.queue(default_concurrency_limit=None, max_size=4 * limits.waiting)
    os.environ.pop("GRADIO_NUM_WORKERS", None)  # they would take uploads past the gate
    bypass_proxies(host)
    try:
        _, address, public = page.site.launch(
            server_name=host, server_port=port, share=share, auth=auth, quiet=True, prevent_thread_lock=True,
            theme=theme, css=_asset("page.css"), head=_script(), max_file_size=limits.file_bytes, footer_links=[],
            ssr_mode=False, show_error=False, mcp_server=False, enable_monitoring=False, max_threads=4 * limits.waiting,
            state_session_capacity=REMEMBERED_SESSIONS, app_kwargs={"middleware": [gate]},
            _frontend=False,  # gradio would look at its page once more, and give up after 3 s on a busy machine
        )
    except OSError as error:
        raise UserError("demo.port", where=f"--port {port}", what=f"cannot be served ({error})",
                        fix="choose another one, or leave it out to take a free one") from error
    visitors.watch()
    return str(public or address)


def _script() -> str:
    """page.js with the words that it says."""
    spoken = {code: {key: getattr(words, key) for key in IN_BROWSER} for code, words in WORDINGS.items()}
    return f"<script>const WORDS = {json.dumps(spoken)};\n{_asset('page.js')}</script>"


def _asset(name: str) -> str:
    return files("minigpt4.serve").joinpath("assets", name).read_text(encoding="utf-8")
