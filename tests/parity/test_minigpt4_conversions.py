"""Raw LLaMA to Hugging Face, and base + delta = Vicuna, as the original tools made them. Tolerance 0, float16."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minigpt4.cli.main import main
from minigpt4.weights.files.readers import open_weights, read_json
from tests.parity.minigpt4_folder import Case, folder, read_case

ROTARY = "rotary_emb.inv_freq"
"""buffers that old files hold; ours are computed again on load"""


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    raw = folder() / "parts" / "llama_raw"
    if not raw.exists():
        pytest.skip(f"{folder()} has no raw LLaMA")
    command = ["weights", "convert-llama", "--input-dir", str(raw), "--output-dir", str(tmp_path / "llama")]
    if not any((place / "tokenizer.model").exists() for place in (raw, raw.parent)):
        command += ["--tokenizer", str(folder() / "parts" / "llm" / "tokenizer.model")]
    assert main(command) == 0
    return tmp_path / "llama"


def assert_equal(made: Path, case: Case) -> None:
    """Every recorded tensor but the rotary buffers, bit for bit, and nothing else."""
    file = open_weights(made)
    wanted = {name: tensor for name, tensor in case.tensors.items() if not name.endswith(ROTARY)}
    assert set(file.names) == set(wanted)
    for name, tensor in wanted.items():
        value = file.load(name)
        assert value.dtype == tensor.dtype and torch.equal(value, tensor), name


def test_raw_llama_becomes_what_the_hugging_face_script_made(converted: Path) -> None:
    case = read_case("llama_convert")
    assert_equal(converted, case)
    config, recorded = read_json(converted / "config.json"), case.values["config"]
    same = ("bos_token_id", "eos_token_id", "hidden_size", "intermediate_size", "max_position_embeddings", "model_type",
            "num_attention_heads", "num_hidden_layers", "rms_norm_eps", "tie_word_embeddings", "vocab_size")
    assert {key: config[key] for key in same} == {key: recorded[key] for key in same}


def test_base_and_delta_become_what_fastchat_made(converted: Path, tmp_path: Path) -> None:
    case, delta = read_case("delta_v0"), folder() / "parts" / "delta_v0"
    made = tmp_path / "vicuna"
    assert main(["apply-delta", "--base", str(converted), "--delta", str(delta), "--target", str(made)]) == 0
    assert_equal(made, case)
    assert read_json(made / "config.json")["vocab_size"] == case.values["rows"]
    assert (made / "tokenizer.model").read_bytes() == (delta / "tokenizer.model").read_bytes()


def test_a_delta_taken_from_the_result_makes_it_again(converted: Path, tmp_path: Path) -> None:
    """float16 sums round, so base + (vicuna - base) is Vicuna within a last place."""
    delta = folder() / "parts" / "delta_v0"
    vicuna, own, again = tmp_path / "vicuna", tmp_path / "own_delta", tmp_path / "again"
    assert main(["apply-delta", "--base", str(converted), "--delta", str(delta), "--target", str(vicuna)]) == 0
    assert main(["weights", "make-delta", "--base", str(converted), "--model", str(vicuna), "--target", str(own)]) == 0
    assert main(["weights", "apply-delta", "--base", str(converted), "--delta", str(own), "--target", str(again)]) == 0
    one, other = open_weights(vicuna), open_weights(again)
    assert set(one.names) == set(other.names)
    for name in one.names:
        torch.testing.assert_close(one.load(name), other.load(name), rtol=2e-3, atol=2e-4)
