"""Parts of other sizes than any that were recorded: the package and docs/one_page.py, which share no line, agree.

Odd depths, cross-attention in every or every third layer, another number of queries and patches, a vocabulary without
"$$" and without added tokens, a language model with grouped keys and one row more than its tokenizer has words.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from minigpt4.assembly.build import build_model
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.conversation.batching import pad
from minigpt4.generation.engine import Engine
from minigpt4.generation.prompt import embed_prompt
from minigpt4.generation.settings import DecodingSettings
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.resamplers.q_former import QFormerConfig
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn, caption_conversation
from minigpt4.records.images import ImageRef
from minigpt4.systems.minigpt4.config import MiniGPT4Config

TEXTS = ("a red rose on the table", "two small boats near the harbour in the rain")
QUESTION = "what is shown here?"
PROMPT = f"###Human: <Img>{IMAGE_MARK}</Img> what is this? ###Assistant: "


@dataclass(frozen=True)
class Sizes:
    """Numbers of one made-up set of parts."""

    side: int
    depth: int
    queries: int
    query_depth: int
    frequency: int
    key_heads: int
    width: int = 24
    query_width: int = 32
    llm_width: int = 40
    heads: int = 2


ALL_SIZES = (
    Sizes(side=42, depth=1, queries=5, query_depth=3, frequency=1, key_heads=1),
    Sizes(side=70, depth=5, queries=1, query_depth=7, frequency=3, key_heads=4),
)


class _Numbers:
    """Named random tensors; norms near 1."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.state: dict[str, Tensor] = {}

    def add(self, name: str, *shape: int) -> None:
        self.state[name] = torch.randn(shape, generator=self._generator) * 0.3

    def linear(self, name: str, out: int, into: int) -> None:
        self.add(f"{name}.weight", out, into)
        self.add(f"{name}.bias", out)

    def norm(self, name: str, width: int) -> None:
        self.add(f"{name}.weight", width)
        self.add(f"{name}.bias", width)
        self.state[f"{name}.weight"] += 1


def _eva(sizes: Sizes) -> dict[str, Tensor]:
    numbers, width = _Numbers(1), sizes.width
    numbers.add("cls_token", 1, 1, width)
    numbers.add("pos_embed", 1, 1 + (sizes.side // 14) ** 2, width)
    numbers.add("patch_embed.proj.weight", width, 3, 14, 14)
    numbers.add("patch_embed.proj.bias", width)
    for block in range(sizes.depth + 1):
        name = f"blocks.{block}."
        for norm in ("norm1", "norm2"):
            numbers.norm(name + norm, width)
        for bias in ("q_bias", "v_bias"):
            numbers.add(f"{name}attn.{bias}", width)
        numbers.add(f"{name}attn.qkv.weight", 3 * width, width)
        numbers.linear(f"{name}attn.proj", width, width)
        numbers.linear(f"{name}mlp.fc1", 2 * width, width)
        numbers.linear(f"{name}mlp.fc2", width, 2 * width)
    return numbers.state


def _blip2(sizes: Sizes) -> dict[str, Tensor]:
    numbers, width = _Numbers(2), sizes.query_width
    numbers.add("query_tokens", 1, sizes.queries, width)
    numbers.norm("ln_vision", sizes.width)
    numbers.norm("Qformer.bert.embeddings.LayerNorm", width)
    for layer in range(sizes.query_depth):
        name = f"Qformer.bert.encoder.layer.{layer}."
        seen = {"attention": width, **({"crossattention": sizes.width} if layer % sizes.frequency == 0 else {})}
        for attention, seen_width in seen.items():
            for role, into in (("query", width), ("key", seen_width), ("value", seen_width)):
                numbers.linear(f"{name}{attention}.self.{role}", width, into)
            numbers.linear(f"{name}{attention}.output.dense", width, width)
            numbers.norm(f"{name}{attention}.output.LayerNorm", width)
        numbers.linear(f"{name}intermediate_query.dense", 48, width)
        numbers.linear(f"{name}output_query.dense", width, 48)
        numbers.norm(f"{name}output_query.LayerNorm", width)
    return numbers.state


def _write_llm(folder: Path, sizes: Sizes) -> None:
    import sentencepiece
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir()
    words = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS, QUESTION] * 20), model_writer=words, vocab_size=330, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", minloglevel=2, hard_vocab_limit=False,
    )
    (folder / "tokenizer.model").write_bytes(words.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=words.getvalue()).GetPieceSize()
    torch.manual_seed(3)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=pieces + 1, hidden_size=sizes.llm_width, intermediate_size=56, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=sizes.key_heads, initializer_range=0.3, max_position_embeddings=400,
    )).save_pretrained(folder)


@dataclass(frozen=True)
class Pair:
    """The same files, read by both."""

    page: Any
    package: LoadedModel
    pixels: Tensor


@pytest.fixture(scope="module", params=ALL_SIZES, ids=lambda sizes: f"{sizes.side}px")
def pair(request: pytest.FixtureRequest, one_page: Any, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    sizes: Sizes = request.param
    folder = tmp_path_factory.mktemp("parts")
    torch.save(_eva(sizes), folder / "eva_vit.pth")
    torch.save({"model": _blip2(sizes)}, folder / "blip2_pretrained.pth")
    projection = _Numbers(4)
    projection.linear("llama_proj", sizes.llm_width, sizes.query_width)
    torch.save({"model": projection.state}, folder / "minigpt4.pth")
    (folder / "prompts.txt").write_text(PROMPT.removeprefix("###Human: ").removesuffix(" ###Assistant: ") + "\n")
    _write_llm(folder / "llm", sizes)
    files = [folder / f"{name}.pth" for name in ("eva_vit", "blip2_pretrained", "minigpt4")]
    page = one_page.MiniGPT4(*files, folder / "llm", depth=sizes.depth, heads=sizes.heads, query_heads=sizes.heads)
    package = build_model(_config(folder, sizes), device=torch.device("cpu"))
    pixels = torch.randn(2, 3, sizes.side, sizes.side, generator=torch.Generator().manual_seed(5))
    return Pair(page, package, pixels)


def _config(folder: Path, sizes: Sizes) -> MiniGPT4Config:
    return MiniGPT4Config(
        behaviour="original_newest", ckpt=str(folder / "minigpt4.pth"), max_txt_len=12, end_sym="###",
        prompt_path=str(folder / "prompts.txt"), prompt_template="###Human: {} ###Assistant: ",
        vision=EvaVitConfig(weights=str(folder / "eva_vit.pth"), image_size=sizes.side, hidden_size=sizes.width,
                            num_hidden_layers=sizes.depth, num_attention_heads=sizes.heads,
                            intermediate_size=2 * sizes.width),
        resampler=QFormerConfig(weights=str(folder / "blip2_pretrained.pth"), num_query_tokens=sizes.queries,
                                hidden_size=sizes.query_width, intermediate_size=48,
                                num_hidden_layers=sizes.query_depth,
                                num_attention_heads=sizes.heads, cross_attention_frequency=sizes.frequency),
        llm=CausalLMConfig(weights=str(folder / "llm")),
    )


def test_image_tokens(pair: Pair) -> None:
    with torch.no_grad():
        tokens = pair.package.model.encode_images({"pixel_values": pair.pixels})
        torch.testing.assert_close(tokens, pair.page.see(pair.pixels), atol=5e-5, rtol=1e-5)


def test_loss_and_gradient(pair: Pair) -> None:
    renderer = pair.package.renderer
    assert renderer.pad_token_id == 0, "the vocabulary has no '$$'"
    rows = [renderer.render(caption_conversation(ImageRef(data=b""), text)) for text in TEXTS]
    batch = pad(rows, pad_token_id=renderer.pad_token_id)
    batch.images = {"pixel_values": pair.pixels}
    output = pair.package.model(batch)
    ours = output.loss_sum / output.num_tokens
    theirs = pair.page.loss(pair.pixels, PROMPT, TEXTS, max_tokens=12)
    assert ours.item() == pytest.approx(theirs.item(), rel=2e-6)
    ours.backward()
    theirs.backward()
    expected = pair.page.projection.weight.grad
    found = pair.package.model.parts()["connector"].projection.weight.grad  # type: ignore[union-attr]
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_greedy_answers(pair: Pair) -> None:
    package = pair.package
    conversation = Conversation((Turn("user", f"{IMAGE_MARK} {QUESTION}"),), (ImageRef(data=b""),))
    answers = set()
    for pixels in pair.pixels:
        tokens = package.model.encode_images({"pixel_values": pixels[None]}).detach()
        prompt = embed_prompt(package.model, package.renderer.render_prompt(conversation), tokens, ["image"])
        ids = Engine(package).answer(prompt, DecodingSettings(max_new_tokens=12)).ids
        assert list(ids) == pair.page.answer(pixels, QUESTION, 12)
        answers.add(ids)
    assert len(answers) == 2, "the answer depends on the image"
