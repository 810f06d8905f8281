"""MiniGPT-4 on one page: how a language model learns to see, with torch and transformers alone.

    python docs/one_page.py output/minigpt4_scenes_stage2 output/scenes/seen/images/000000.png "What is shown here?"
    minigpt4 weights tiny-originals output/tiny                  # random parts in the originals' layouts
    python docs/one_page.py output/tiny examples/photos/rose_01.jpg "What is shown here?" --learn "A rose."

An image goes through a vision transformer (EVA-ViT), then through the Q-Former, which boils hundreds of patches down
to a few tokens, then through ONE linear layer that makes them as wide as the words of a language model. There they
stand in the middle of a prompt as if they were words. Only that linear layer is trained; everything else was there
before, and stays as it is. (The small model that `make demo` trains has a convolutional network in the place of the
vision transformer.) So the frozen parts are plain functions here: they read their weights from a dictionary,
under the names that the released files give them. The first argument is a folder of eva_vit*.pth, blip2_*.pth, a
projection *minigpt4*.pth and the language model's own folder, as `minigpt4 weights download` leaves them; or a folder
that training here wrote (its parts have transformers' names, see NAMES). Paper: arXiv 2304.10592.

Letters: B images, S side in pixels, P patches + 1, D width of the ViT, Q query tokens, H width of the Q-Former,
L positions of a prompt, W width of the language model, V words that it knows.
"""

import argparse
from pathlib import Path

import sentencepiece
import tokenizers
import torch
import torch.nn.functional as F
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

Weights = dict[str, Tensor]

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)  # of the colours that CLIP was trained on
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
CHAT = ("Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to "
        "you. Please answer my questions.###Human: <Img><ImageHere></Img> {}###Assistant: ")  # as the originals asked
TAUGHT = "###Human: <Img><ImageHere></Img> {} ###Assistant: "  # as stage 2 taught, which models trained here are asked
NAMES = (  # how files of this project call the tensors, and how the originals do
    ("vision.model.encoder.layers.", "blocks."), ("vision.model.embeddings.class_embedding", "cls_token"),
    ("vision.model.embeddings.position_embedding", "pos_embed"), ("vision.model.post_layernorm", "ln_vision"),
    ("vision.model.embeddings.patch_embedding", "patch_embed.proj"), ("self_attn.projection", "attn.proj"),
    ("self_attn.qkv", "attn.qkv"), ("layer_norm", "norm"), ("connector.projection", "llama_proj"),
    ("resampler.model.layernorm", "Qformer.bert.embeddings.LayerNorm"), ("resampler.model.", "Qformer.bert."),
    ("attention.attention.", "attention.self."), ("resampler.query_tokens", "query_tokens"),
)


def read(path: Path) -> Weights:
    """The tensors of a file, in full precision. `weights_only`: a pickle could run any program, tensors cannot."""
    if path.suffix == ".safetensors":
        return {_original_name(name): value.float() for name, value in load_file(path).items()}
    content = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value.float() for name, value in content.get("model", content).items()}


def _original_name(name: str) -> str:
    for ours, original in NAMES:
        name = name.replace(ours, original)
    return name


class Words:
    """The vocabulary of a language model: sentencepiece's file, or that of the tokenizers library."""

    def __init__(self, folder: Path) -> None:
        if (folder / "tokenizer.model").exists():
            pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
            self.encode, self.decode = pieces.encode, pieces.decode
            self.bos_id, self.eos_id = pieces.bos_id(), pieces.eos_id()
        else:
            fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            self.encode = lambda text: fast.encode(text, add_special_tokens=False).ids
            self.decode = fast.decode
            self.bos_id, self.eos_id = fast.token_to_id("<s>"), fast.token_to_id("</s>")


def pixels_of(image: Image.Image, side: int) -> Tensor:
    """An image -> [3, S, S]. It is squashed, not cropped: nothing is lost at the edges. One axis after the other,
    because Pillow chooses the order of a single call by itself, and the last bit depends on it."""
    image = image.convert("RGB").resize((side, image.height), Image.Resampling.BICUBIC)
    image = image.resize((side, side), Image.Resampling.BICUBIC)
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(side, side, 3)
    return (values.permute(2, 0, 1) / 255 - MEAN) / STD


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def norm(x: Tensor, w: Weights, name: str, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """[B, N, D], [B, M, D], [B, M, D] -> [B, N, D]: every query takes the mean of the values whose keys are like it."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))  # [B, heads, N or M, D/heads]
    likeness = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return (likeness.softmax(-1) @ v).transpose(1, 2).flatten(2)


def eva_vit(pixels: Tensor, w: Weights, depth: int, heads: int) -> Tensor:
    """[B, 3, S, S] -> [B, P, D]: cut into patches, which then look at each other `depth` times."""
    patch = w["patch_embed.proj.weight"]  # [D, 3, 14, 14]
    x = F.conv2d(pixels, patch, w["patch_embed.proj.bias"], stride=patch.shape[-1]).flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], dim=1) + w["pos_embed"]  # where each patch was
    for number in range(depth):  # the file has further blocks, which MiniGPT-4 does not use
        block = f"blocks.{number}."
        bias = w.get(block + "attn.qkv.bias")
        if bias is None:  # the originals keep two thirds of it: keys have no bias
            q_bias, v_bias = w[block + "attn.q_bias"], w[block + "attn.v_bias"]
            bias = torch.cat([q_bias, torch.zeros_like(q_bias), v_bias])
        qkv = F.linear(norm(x, w, block + "norm1", 1e-6), w[block + "attn.qkv.weight"], bias)
        x = x + linear(attention(*qkv.chunk(3, dim=-1), heads), w, block + "attn.proj")
        inner = F.gelu(linear(norm(x, w, block + "norm2", 1e-6), w, block + "mlp.fc1"))
        x = x + linear(inner, w, block + "mlp.fc2")
    return x


def conv_net(pixels: Tensor, w: Weights) -> Tensor:
    """[B, 3, S, S] -> [B, P, D]: the encoder of the small model, where each stage halves the side of the image."""

    def convolved(x: Tensor, name: str, norm_name: str, stride: int = 1) -> Tensor:
        x = F.conv2d(x, w[f"{name}.weight"], stride=stride, padding=1)
        mean, variance, scale, shift = (w[f"{norm_name}.{leaf}"]
                                        for leaf in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, variance, scale, shift)

    x, number = pixels, 0
    while f"vision.layers.{number}.weight" in w:
        x = convolved(x, f"vision.layers.{number}", f"vision.layers.{number + 1}", stride=2).relu()
        block = f"vision.layers.{number + 3}."
        inner = convolved(x, block + "first", block + "first_norm").relu()
        x = (x + convolved(inner, block + "second", block + "second_norm")).relu()
        number += 4
    return x.flatten(2).transpose(1, 2)


def q_former(patches: Tensor, w: Weights, heads: int) -> Tensor:
    """[B, P, D] -> [B, Q, H]: Q learned questions ask each other, then the image. A BERT that reads no words."""

    def attend(x: Tensor, seen: Tensor, name: str) -> Tensor:
        q, k, v = (linear(of, w, f"{name}.self.{role}") for of, role in ((x, "query"), (seen, "key"), (seen, "value")))
        found = linear(attention(q, k, v, heads), w, name + ".output.dense")
        return norm(found + x, w, name + ".output.LayerNorm", 1e-12)

    x = norm(w["query_tokens"].expand(len(patches), -1, -1), w, "Qformer.bert.embeddings.LayerNorm", 1e-12)
    number = 0
    while f"Qformer.bert.encoder.layer.{number}.attention.self.query.weight" in w:
        layer = f"Qformer.bert.encoder.layer.{number}."
        x = attend(x, x, layer + "attention")
        if f"{layer}crossattention.self.query.weight" in w:  # only every other layer looks at the image
            x = attend(x, patches, layer + "crossattention")
        inner = linear(F.gelu(linear(x, w, layer + "intermediate_query.dense")), w, layer + "output_query.dense")
        x = norm(inner + x, w, layer + "output_query.LayerNorm", 1e-12)
        number += 1
    return x


class MiniGPT4:
    """The frozen parts, and the one layer that learns. `depth`, `heads`, `query_heads` are those of the real files;
    `chat` is the text around a question, `side` that of the image where the encoder's file does not tell it."""

    def __init__(self, eva: Path, blip2: Path, projection: Path, llm: Path, *, depth: int = 39, heads: int = 16,
                 query_heads: int = 12, chat: str = CHAT, side: int = 0) -> None:
        self.eva, self.blip2 = read(eva), read(blip2)
        self.depth, self.heads, self.query_heads, self.chat = depth, heads, query_heads, chat
        learned = read(projection)
        width, query_width = learned["llama_proj.weight"].shape
        self.projection = nn.Linear(query_width, width)
        self.projection.load_state_dict({leaf: learned[f"llama_proj.{leaf}"] for leaf in ("weight", "bias")})
        self.llm = LlamaForCausalLM.from_pretrained(llm, dtype=torch.float32).requires_grad_(False)
        self.words = Words(llm)
        self.side = side
        if "pos_embed" in self.eva:
            patches, patch = self.eva["pos_embed"].shape[1] - 1, self.eva["patch_embed.proj.weight"].shape[-1]
            self.side = round(patches**0.5) * patch

    def see(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, Q, W]: tokens that the language model can read. Gradients begin at the last line."""
        with torch.no_grad():
            if "pos_embed" in self.eva:
                patches = norm(eva_vit(pixels, self.eva, self.depth, self.heads), self.blip2, "ln_vision", 1e-5)
            else:
                patches = conv_net(pixels, self.eva)
            answers = q_former(patches, self.blip2, self.query_heads)
        return self.projection(answers)

    def read_words(self, ids: list[int]) -> Tensor:
        """ids [L] -> [L, W]."""
        return self.llm.get_input_embeddings()(torch.tensor(ids, dtype=torch.long))

    def prompt(self, text: str, image: Tensor) -> Tensor:
        """'…<ImageHere>…' and image tokens [Q, W] -> [L, W]. Each side of the image is cut into pieces by itself:
        that is how the model was trained, and other pieces for the same text would be other words to it."""
        before, after = (self.words.encode(side) for side in text.split("<ImageHere>"))
        return torch.cat([self.read_words([self.words.bos_id, *before]), image, self.read_words(after)])

    def loss(self, pixels: Tensor, prompt: str, answers: list[str], max_tokens: int = 160) -> Tensor:
        """How surprised the language model is by the right answers, a mean over their tokens; `backward()` of it
        reaches the projection alone. One sample at a time, so that nothing needs padding."""
        total, count = torch.zeros(()), 0
        for image, answer in zip(self.see(pixels), answers, strict=True):
            ids = self.words.encode(answer + "###")[:max_tokens]  # ### says: the answer ends here
            asked = self.prompt(prompt, image)
            logits = self.llm(inputs_embeds=torch.cat([asked, self.read_words(ids)])[None]).logits[0]  # [L, V]
            # what stands at a position foretells the NEXT word; only words of the answer count, never the question
            foretold = logits[len(asked) - 1 : -1]
            total = total + F.cross_entropy(foretold, torch.tensor(ids), reduction="sum")
            count += len(ids)
        return total / count

    @torch.no_grad()
    def answer(self, pixels: Tensor, question: str, max_tokens: int = 300) -> list[int]:
        """Ids of an answer: the likeliest word, again and again. What was read is remembered (`past`), so each step
        reads one word."""
        step, past, ids = self.prompt(self.chat.format(question), self.see(pixels[None])[0])[None], None, list[int]()
        while len(ids) < max_tokens and "###" not in self.words.decode(ids) and self.words.eos_id not in ids:
            out = self.llm(inputs_embeds=step, past_key_values=past, use_cache=True)
            past = out.past_key_values
            ids.append(int(out.logits[0, -1].argmax()))
            step = self.read_words(ids[-1:])[None]
        return ids


    def learn(self, pixels: Tensor, question: str, answer: str, steps: int = 30) -> None:
        """What both stages do, with one sample: the projection moves to where the answer is less of a surprise."""
        optimizer = torch.optim.AdamW(self.projection.parameters(), lr=1e-2)
        for step in range(steps + 1):
            loss = self.loss(pixels[None], self.chat.format(question), [answer])
            if step % 10 == 0:
                print(f"step {step}: loss {loss.item():.3f}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def load(folder: Path) -> MiniGPT4:
    """The originals' files of a folder, or the last checkpoint of a run of this project."""
    runs = sorted(folder.glob("checkpoint_*"))
    if not runs:
        found = [next(folder.glob(name)) for name in ("eva_vit*.pth", "blip2_*.pth", "*minigpt4*.pth", "*/config.json")]
        return MiniGPT4(*found[:3], found[3].parent)
    model = yaml.safe_load((runs[-1] / "config.yaml").read_text(encoding="utf-8"))["model"]
    shipped = Path(__file__).parents[1] / "minigpt4"  # parts/…: the tiny frozen parts that the package brings
    eva, blip2, llm = (shipped / model[part]["weights"] for part in ("vision", "resampler", "llm"))
    return MiniGPT4(eva, blip2, runs[-1] / "model.safetensors", llm, side=model["vision"]["image_size"],
                    query_heads=model["resampler"]["num_attention_heads"], chat=TAUGHT)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask MiniGPT-4 about an image.")
    parser.add_argument("folder", type=Path, help="the originals' files, or what training wrote")
    parser.add_argument("image", type=Path)
    parser.add_argument("question")
    parser.add_argument("--learn", metavar="ANSWER", help="first train the projection to give this answer (30 steps)")
    parser.add_argument("--max-tokens", type=int, default=300, help="longest answer (default: 300)")
    given = parser.parse_args()
    disable_progress_bar()
    try:
        model, image = load(given.folder), Image.open(given.image)
    except StopIteration:
        parser.error(f"{given.folder} holds neither the originals' four parts nor checkpoints; make random ones: "
                     f"minigpt4 weights tiny-originals {given.folder}")
    except OSError as error:
        parser.error(str(error))
    pixels = pixels_of(image, model.side)
    if given.learn:
        model.learn(pixels, given.question, given.learn)
    ids = model.answer(pixels, given.question, given.max_tokens)
    print(model.words.decode(ids).partition("###")[0].strip())


if __name__ == "__main__":
    main()
