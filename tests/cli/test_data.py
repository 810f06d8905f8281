"""`minigpt4 data show | validate | tokenizer` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from minigpt4.cli.main import main
from tests.datasets.data_fakes import image_bytes

CONFIG = """
model:
  arch: minigpt4
  model_type: custom
  template: plain
  vision: {{name: conv_net, weights: null, freeze: False, image_size: 16, widths: [16, 16]}}
  resampler: {{name: q_former, weights: null, freeze: False, num_query_tokens: 2, hidden_size: 8,
               num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 8, cross_attention_frequency: 1}}
  llm: {{weights: null, freeze: False, tokenizer: {folder}/tokenizer, random: {{model_type: llama, hidden_size: 8}}}}
datasets:
  image_jsonl:
    build_info: {{storage: {folder}}}
run:
  output_dir: {folder}/out
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    lines = []
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(image_bytes(color=["red", "green", "blue", "white"][number]))
        lines.append(json.dumps({"image": f"{number}.png", "caption": f"a rose {number}"}))
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return path


def tokenizer(config: Path) -> int:
    return main(["data", "tokenizer", "--cfg-path", str(config), "--vocab-size", "300", "--output",
                 str(config.parent / "tokenizer")])


def test_u20_show_prints_what_is_learned_and_writes_a_sheet(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokenizer(config) == 0
    sheet = config.parent / "contact.png"
    assert main(["data", "show", "--cfg-path", str(config), "--number", "9", "--output", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert all(f"[[a rose {number}" in printed for number in range(4)) and "<image: 2 tokens>" in printed
    assert Image.open(sheet).width > 4 * 100


def test_show_tells_an_unreadable_image_and_goes_on(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer(config)
    (config.parent / "2.png").write_bytes(b"<html>")
    assert main(["data", "show", "--cfg-path", str(config)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("[[a rose") == 3 and "captions.jsonl:3: not an image (HTML text)" in printed


def test_validate_counts_and_names(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["data", "validate", "--cfg-path", str(config)]
    assert main(call) == 0
    (config.parent / "2.png").write_bytes(b"<html>")
    assert main(call) == 1
    printed = capsys.readouterr().out
    assert "image_jsonl train: 4 samples, 3 images, 1 unreadable" in printed
    assert "1  not an image (HTML text)" in printed and "captions.jsonl:3: not an image" in printed


def test_validate_writes_a_report_and_a_sheet(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokenizer(config) == 0
    (config.parent / "3.png").write_bytes((config.parent / "0.png").read_bytes())
    report, sheet = config.parent / "report.json", config.parent / "sheet.png"
    assert main(["data", "validate", "--cfg-path", str(config), "--report", str(report), "--sheet", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert "image width: 8 to 8, half of them up to 8, 99 % up to 8" in printed and "readable: 100 %" in printed
    assert "same image as another sample: 1 sample (image_jsonl/3)" in printed
    (found,) = json.loads(report.read_text())["data_sets"]
    assert (found["data_set"], found["split"], found["readable_share"]) == ("image_jsonl", "train", 1.0)
    assert found["words"] == {"least": 3, "largest": 3, "mean": 3.0, "percentile_1": 3, "percentile_50": 3,
                              "percentile_99": 3}
    assert found["positions"]["least"] > found["learned"]["least"] > 3
    colors = {color for _, color in Image.open(sheet).getcolors(1 << 20)}
    assert {(255, 0, 0), (0, 128, 0), (0, 0, 255)} <= colors


def test_a_tokenizer_of_nothing_is_not_trained(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "captions.jsonl").write_text('{"image": "0.png"}\n')
    assert tokenizer(config) == 2
    assert "none of its data sets has a text that can be read; see why" in capsys.readouterr().err


def test_show_ends_with_1_where_nothing_can_be_read(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokenizer(config) == 0
    (config.parent / "captions.jsonl").write_text('{"image": "0.png"}\n')
    assert main(["data", "show", "--cfg-path", str(config)]) == 1
    assert "has image; this task needs an answer to learn; add 'caption'" in capsys.readouterr().out
