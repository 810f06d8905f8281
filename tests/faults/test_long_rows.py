"""Samples of more positions than the language model has: named in validation, in what is shown, and in training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from minigpt4.cli.main import main
from minigpt4.common.config.write import plain
from minigpt4.datasets.batches import MAX_CHARACTERS, TooLong, refuse_many_characters
from minigpt4.models.language_models.causal_lm import CausalLMConfig, positions_of, positions_said, transformers_config
from minigpt4.records.conversations import Conversation, Turn
from tests import tiny
from tests.datasets.data_fakes import image_bytes

GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 96}
OPT = {"model_type": "opt", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 32,
       "word_embed_proj_dim": 32, "max_position_embeddings": 96}


def written_run(folder: Path, language_model: dict[str, object]) -> Path:
    """A run over three short samples and one of a long question."""
    (folder / "a.png").write_bytes(image_bytes())
    lines = [{"image": "a.png", "conversations": [{"from": "human", "value": "<image>" + "red rose " * length},
                                                  {"from": "gpt", "value": "a red rose"}]} for length in (1, 2, 99, 3)]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    llm = CausalLMConfig(random=language_model, tokenizer=str(tiny.tokenizer_folder()), freeze=False)
    sections = {
        "model": plain(tiny.config(llm=llm)),
        "datasets": {"image_jsonl": {"batch_size": 4, "build_info": {"storage": str(folder)}}},
        "run": {"max_epoch": 1, "iters_per_epoch": 3, "device": "cpu", "output_dir": str(folder / "out"),
                "job_name": "long"},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False))
    return path


@pytest.mark.parametrize("language_model", [GPT2, OPT], ids=["gpt2", "opt"])
def test_a_row_beyond_the_positions_is_unreadable(
    language_model: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    run = str(written_run(tmp_path, language_model))
    sentence = "captions.jsonl:3: is longer than the language model's 96 positions: "
    assert main(["data", "validate", "--cfg-path", run]) == 1
    printed = capsys.readouterr().out
    assert sentence in printed and "4 samples, 3 images, 1 unreadable" in printed
    assert main(["data", "show", "--cfg-path", run]) == 0
    assert f"unreadable: {tmp_path}/{sentence}" in capsys.readouterr().out
    assert main(["train", "--cfg-path", run]) == 0
    (line,) = (tmp_path / "out" / "unreadable.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "is longer than the language model's 96 positions"


def test_validation_says_where_lengths_cannot_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(image_bytes())
    (tmp_path / "captions.jsonl").write_text('{"image": "a.png", "caption": "x"}')
    (tmp_path / "run.yaml").write_text(f"datasets: {{image_jsonl: {{build_info: {{storage: {tmp_path}}}}}}}\n")
    assert main(["data", "validate", "--cfg-path", str(tmp_path / "run.yaml")]) == 0
    assert "lengths are not checked" in capsys.readouterr().out


def test_a_book_is_not_encoded() -> None:
    conversation = Conversation((Turn("assistant", "x" * (MAX_CHARACTERS + 1)),))
    with pytest.raises(TooLong, match="has more than 1000000 characters"):
        refuse_many_characters(conversation)
    refuse_many_characters(Conversation((Turn("assistant", "x" * MAX_CHARACTERS),)))


@pytest.mark.parametrize(("values", "positions"), [
    ({"model_type": "gpt2"}, 1024), (GPT2, 96), (OPT, 96), ({"model_type": "bloom"}, None), ({"model_type": "x"}, None),
    ({"max_position_embeddings": 77}, 77), ({"max_position_embeddings": "many"}, None),
])
def test_positions_of_a_language_model(values: dict[str, object], positions: int | None) -> None:
    assert positions_said(values) == positions
    if values.get("model_type") != "x" and values != {"max_position_embeddings": "many"}:
        assert positions_of(transformers_config(values)) == positions
