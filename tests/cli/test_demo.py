"""`minigpt4 demo`: what it serves, and the sentences before it serves anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from minigpt4.cli import demo
from minigpt4.cli.main import main, parser_of
from minigpt4.common.errors import UserError
from tests import tiny
from tests.cli.pages import write_bundle


def flags(*words: str):  # noqa: ANN201
    return parser_of("demo", demo).parse_args(list(words))


def test_without_a_yaml_it_serves_the_embedded_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="has not been trained here; run `make demo`"):
        demo.model_source(flags())
    (tmp_path / demo.TRAINED).mkdir(parents=True)
    assert demo.model_source(flags()) == str(demo.TRAINED)
    (tmp_path / "eval_configs").mkdir()
    (tmp_path / demo.EMBEDDED_DEFAULT).write_text("model: {}")
    assert demo.model_source(flags()) == str(demo.EMBEDDED_DEFAULT)
    assert demo.model_source(flags("--cfg-path", "mine.yaml")) == "mine.yaml"


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


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from minigpt4.serve.page import build_page

    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"cannot import gradio.*pip install 'minigpt4\[demo\]'"):
        build_page(tiny.model())
