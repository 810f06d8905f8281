"""The page under attack: bombs beside a visitor who chats, 500 conversations, payloads, what is left at exit.

    python benchmarks/page_load.py          # writes benchmarks/results/page_load.json; status 1 where a bar is missed
    python benchmarks/page_load.py --few    # 20 conversations and no browser: a minute

`minigpt4 demo` serves a tiny random model in a process of its own, with a temporary folder of its own. Figures are of
that process, from the system: CPU seconds and the peak of its resident memory while a bomb is answered, over what it
held when idle. The other visitor asks a question at the same moment and must get an answer.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

from benchmarks.machine import machine, versions  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from tests import page_attack, tiny  # noqa: E402
from tests.page_attack import Said, Talker  # noqa: E402

RESULTS = PROJECT / "benchmarks" / "results" / "page_load.json"
CPU_SECONDS, MEGABYTES, GROWTH, HANG_S = 2.0, 300.0, 1.05, 20.0
CONVERSATIONS, FIRST = 500, 100
IN_BROWSER = 12


@dataclass(frozen=True)
class Bomb:
    """What one bomb cost, what was said, and whether the other visitor was answered."""

    name: str
    cpu_seconds: float
    megabytes_above_idle: float
    seconds: float
    said: str
    others_answered: bool
    others_seconds: float

    @property
    def harmless(self) -> bool:
        return (self.cpu_seconds < CPU_SECONDS and self.megabytes_above_idle < MEGABYTES and self.others_answered
                and bool(self.said))


class Server:
    """`minigpt4 demo` of a tiny model, watched from outside (Linux)."""

    def __init__(self, bundle: Path, temporary: Path) -> None:
        environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "minigpt4", "demo", "--model", str(bundle), "--device", "cpu"]
        self.log = open(temporary.parent / "server.log", "w+", encoding="utf-8")  # noqa: SIM115 (closed by `end`)
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        self.address = self._address()

    def _address(self) -> str:
        for _ in range(600):
            found = re.search(r"serving at (\S+)", Path(self.log.name).read_text(encoding="utf-8"))
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        raise SystemExit(f"the page did not start: {Path(self.log.name).read_text(encoding='utf-8')[-2000:]}")

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self, what: str = "VmRSS") -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.log.close()
        return status


@contextmanager
def served() -> Iterator[tuple[Server, Path]]:
    """The page, and its temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        bundle, temporary = Path(folder) / "bundle", Path(folder) / "temporary"
        bundle.mkdir()
        temporary.mkdir()
        loaded = tiny.model()
        loaded.save_bundle(bundle, resolved_config=tiny.as_yaml(loaded.config), stage="tiny", step=1)
        server = Server(bundle, temporary)
        try:
            yield server, temporary
        finally:
            if server.process.poll() is None:
                server.end()


def bombs(talker: Talker) -> dict[str, Callable[[], Said]]:
    """By name. Everything is made before the clock runs; uploads are part of the bomb."""
    deep, wide = page_attack.png(13_000, 13_000), page_attack.png(17_900, 10_000)
    one = talker.upload(("rose.png", page_attack.rose()))
    markup = " ".join(pattern.format(url="http://evil.test/x") for pattern in page_attack.MARKUP)
    return {
        "0.5 MB PNG of 13,000 x 13,000": lambda: talker.ask("what is this", talker.upload(("deep.png", deep))),
        "picture of 179 megapixels": lambda: talker.ask("what is this", talker.upload(("wide.png", wide))),
        "5,000 images in one question": lambda: talker.ask("what is this", one * 5000),
        "a megabyte of text": lambda: talker.ask("a" * 1_000_000),
        "20 megabytes of text": lambda: talker.ask("a" * 20_000_000),
        "thousands of control characters": lambda: talker.ask("\x00\x1b[2J\x07\x08" * 1000),
        "markdown and HTML": lambda: talker.ask(markup),
        "beams, tokens and temperature without end": lambda: talker.ask("what", beams=1e6, tokens=1e9, temperature=99),
    }


def largest_image(talker: Talker) -> Callable[[], Said]:
    """What is just small enough to be read; it has no bar, since 40 megapixels take what they take."""
    whole = page_attack.png(7_000, 5_700)
    return lambda: talker.ask("what is this", talker.upload(("whole.png", whole)))


def throw(server: Server, name: str, bomb: Callable[[], Said]) -> Bomb:
    """One bomb, while somebody else asks a question."""
    answered: list[tuple[bool, float]] = []

    def chat() -> None:
        begin = time.monotonic()
        with Talker(server.address) as other:
            answered.append((other.ask("what is this").answered, time.monotonic() - begin))

    time.sleep(0.5)
    server.forget_peak()
    idle, cpu, begin = server.megabytes(), server.cpu_seconds, time.monotonic()
    neighbour = threading.Thread(target=chat)
    neighbour.start()
    said = bomb()
    seconds = time.monotonic() - begin
    neighbour.join(60)
    ok, waited = answered[0] if answered else (False, 60.0)
    return Bomb(name, round(server.cpu_seconds - cpu, 2), round(server.megabytes("VmHWM") - idle, 1),
                round(seconds, 2), said.notice, ok, round(waited, 2))


def converse(server: Server, number: int) -> list[float]:
    """So many people upload, ask and leave; megabytes after each."""
    held = []
    for each in range(number):
        with Talker(server.address, stays=True) as talker:
            said = talker.ask("what is this", talker.upload(("rose.png", page_attack.rose(each))))
            assert said.answered, said
        held.append(server.megabytes())
    return held


def payloads(server: Server) -> dict[str, Any]:
    """Every payload over HTTP: what hung, told a secret, or was neither answered nor refused."""
    calls: list[tuple[str, Callable[[Talker], Said]]] = []
    calls += [(text[:40], lambda talker, text=text: talker.ask(text)) for text in page_attack.questions()]
    calls += [(file[0], lambda talker, file=file: talker.ask("what is this", talker.upload(file)))
              for file in page_attack.files()]
    calls += [(name, lambda talker, name=name, data=data: talker.call(name, data))
              for name, data in page_attack.BAD_CALLS]
    hangs, secrets, silent = [], [], []
    for name, call in calls:
        begin = time.monotonic()
        with Talker(server.address) as talker:
            said = call(talker)
        if time.monotonic() - begin > HANG_S:
            hangs.append(name)
        if said.tells_a_secret or "Traceback" in said.raw:
            secrets.append(name)
        if not said.answered and not said.notice and name not in page_attack.SILENT:
            silent.append(name)
    return {"sent": len(calls), "hangs": hangs, "secrets": secrets, "neither_answered_nor_refused": silent}


def in_browser(server: Server) -> dict[str, Any]:
    """A dozen payloads in Chromium, counting requests to other hosts."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS, NAMES

    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit(f"none of {', '.join(NAMES)} is installed")
    asked: list[str] = []
    texts = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        tab = browser.new_page()
        tab.on("request", lambda request: None if request.url.startswith((server.address, "data:", "blob:"))
               else asked.append(request.url))
        tab.goto(server.address)
        tab.wait_for_selector("body[data-arrived] #question textarea")
        for pattern in page_attack.MARKUP[:IN_BROWSER]:
            if texts:
                tab.click("#clear")
                tab.wait_for_selector("#conversation .message", state="detached")
            tab.fill("#question textarea", pattern.format(url="http://evil.test/x"))
            tab.press("#question textarea", "Enter")
            tab.wait_for_selector("#conversation .bot.message")
            tab.wait_for_timeout(300)
            texts.append(tab.inner_text("body"))
        browser.close()
    secrets = [text for text in texts if any(part in text for part in page_attack.SECRETS)]
    return {"sent": len(texts), "requests_to_other_hosts": asked, "secrets": len(secrets)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true", help="20 conversations and no browser; nothing is written")
    few = parser.parse_args().few
    with served() as (server, temporary):
        with Talker(server.address) as warm:
            warm.ask("what is this", warm.upload(("rose.png", page_attack.rose())))
        idle = server.megabytes()
        with Talker(server.address) as talker:
            thrown = [throw(server, name, bomb) for name, bomb in bombs(talker).items()]
            largest = throw(server, "picture of 39.9 megapixels, which is read", largest_image(talker))
            talker.call("clear", [])
        for each in [*thrown, largest]:
            print(f"{each.name:<45} {each.cpu_seconds:5.2f} CPU s {each.megabytes_above_idle:7.1f} MB  {each.said}")
        sent, browser = payloads(server), {} if few else in_browser(server)
        held = converse(server, 20 if few else CONVERSATIONS)
        growth = held[-1] / held[min(FIRST, len(held)) - 1]
        print(f"{len(held)} conversations: {growth:.3f} of the memory after {min(FIRST, len(held))}")
        status = server.end()
        left = sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*"))
    bars = {
        "bombs": all(each.harmless for each in thrown),
        "conversations": growth <= GROWTH,
        "payloads": not (sent["hangs"] or sent["secrets"] or sent["neither_answered_nor_refused"]),
        "browser": few or not (browser["requests_to_other_hosts"] or browser["secrets"]),
        "nothing left": not left,
    }
    results = {
        "bars": bars, "idle_megabytes": round(idle), "bombs": [asdict(each) for each in thrown],
        "largest_image_that_is_read": asdict(largest),
        "conversations": {"number": len(held), "megabytes_after_100": round(held[min(FIRST, len(held)) - 1], 1),
                          "megabytes_at_the_end": round(held[-1], 1), "growth": round(growth, 4)},
        "payloads": sent, "browser": browser, "left_at_exit": left, "exit_status": status,
        "machine": machine(threads=1), "versions": versions("torch", "gradio", "pillow"),
    }
    if not few:
        write_json(RESULTS, results)
    print(", ".join(f"{name}: {'met' if met else 'MISSED'}" for name, met in bars.items()), left)
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
