"""`minigpt4 demo`: what it serves, and the sentences before it serves anything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minigpt4.cli import _first_run, demo
from minigpt4.cli.main import main, parser_of
from minigpt4.common.errors import UserError
from tests import page_attack, tiny
from tests.cli.pages import write_bundle
from tests.page_attack import Talker


def flags(*words: str):  # noqa: ANN201
    return parser_of("demo", demo).parse_args(list(words))


def test_without_a_model_it_serves_the_embedded_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.model_source(flags()) is None
    with pytest.raises(UserError, match=r"mine.yaml: no such file or folder"):
        demo.model_source(flags("--cfg-path", "mine.yaml"))
    Path("mine.yaml").write_text("model: {arch: minigpt4, model_type: scenes}\n")
    assert demo.model_source(flags("--cfg-path", "mine.yaml")) == "mine.yaml"


def test_it_is_trained_first_where_it_is_not_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    done: list[list[str]] = []
    monkeypatch.setattr("minigpt4.cli.main.main", lambda words: done.append(words) or 0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="recipes of the embedded default are not here; run it in a clone"):
        _first_run.train_embedded_default()
    for recipe in _first_run.RECIPES.values():
        recipe.parent.mkdir(exist_ok=True)
        recipe.write_text("")
    _first_run.train_embedded_default()
    assert [words[0] for words in done] == ["data", "train", "train"] and "[3/3]" in capsys.readouterr().out
    _first_run.FINISHED.parent.mkdir(parents=True)
    _first_run.FINISHED.write_bytes(b"")
    _first_run.train_embedded_default()
    assert len(done) == 3


def test_train_only_is_for_the_embedded_default() -> None:
    with pytest.raises(UserError, match="--train-only and mine were both given"):
        demo.model_source(flags("--model", "mine", "--train-only"))


def test_gpu_id_is_the_originals_way_to_name_a_device() -> None:
    assert demo.device_of(flags()) is None and demo.device_of(flags("--device", "mps")) == "mps"
    with pytest.raises(UserError, match="--device and --gpu-id were both given"):
        demo.device_of(flags("--device", "cpu", "--gpu-id", "0"))


def test_nothing_is_shared_and_no_other_machine_let_in_unasked() -> None:
    assert flags().share is False and flags().host == "127.0.0.1"


def test_the_examples_are_images_with_questions_in_both_languages(tmp_path: Path) -> None:
    from minigpt4.scenes.examples import scene_examples

    examples = scene_examples(tmp_path)
    assert all(Path(one.image).is_file() and one.question for one in examples)
    assert any("?" in one.question for one in examples) and any(not one.question.isascii() for one in examples)


def test_a_taken_port_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bundle(tmp_path / "mine", template="vicuna_v0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["demo", "--model", str(tmp_path / "mine"), "--port", port, "--device", "cpu"]) == 2
    assert f"--port {port}: cannot be served" in capsys.readouterr().err


def test_behind_a_proxy_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """gradio looks at its own page at the start; a proxy that knows nothing of this machine must not be asked."""
    import httpx

    from minigpt4.serve.page import build_page, launch

    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9" if "http" in name.lower() else "")
    page = build_page(tiny.model())
    address = launch(page, host="127.0.0.1", port=None, share=False, wait=False)
    assert httpx.get(address).status_code == 200
    page.close()


def test_a_password_without_a_user_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", "x", "--auth", "secret"]) == 2
    assert "--auth: needs a user and a password; write --auth user:password" in capsys.readouterr().err


def _hears_sigint() -> None:
    """A shell makes its background jobs deaf to Ctrl-C, and they pass that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _killed_at_the_end(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_however_it_ends(tmp_path: Path, ending: signal.Signals) -> None:
    write_bundle(tmp_path / "mine", template="vicuna_v0")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "http_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "minigpt4", "demo", "--model", str(tmp_path / "mine"), "--host", "0.0.0.0",
               "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment,
                          preexec_fn=_hears_sigint) as process, _killed_at_the_end(process):
        assert process.stdout is not None
        address = next(line.split()[2] for line in process.stdout if line.startswith("serving at"))
        assert "give --auth user:password" in process.stdout.readline()
        with Talker(address.replace("localhost", "127.0.0.1"), stays=True) as talker:
            assert talker.ask("what is this", talker.upload(("rose.png", page_attack.rose())), tokens=10).answered
            assert list(temporary.rglob("rose.png"))
            process.send_signal(ending)
            assert process.wait(60) == (143 if ending == signal.SIGTERM else 0)
    assert list(temporary.iterdir()) == []


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigpt4.serve.page import build_page

    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"cannot import gradio.*pip install 'minigpt4\[demo\]'"):
        build_page(tiny.model())
