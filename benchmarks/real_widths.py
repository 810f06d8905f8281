"""The real model, two layers deep, on a CPU: load, 8 bit, 20 training steps, a kill and a resume, an answer.

    python benchmarks/real_widths.py --folder /some/disk     # 4 GB there; writes benchmarks/results/real_widths.json

EVA-ViT 1408 wide, Q-Former 768, language model 4096 with 32,001 rows, as files in the originals' layouts with seeded
random numbers: `eva_vit_g.pth`, `blip2_pretrained_flant5xxl.pth`, a projection `.pth`, shards of `.bin`. Every figure
is of a process of its own. Linux only: memory is RssAnon from /proc.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

import torch  # noqa: E402
import yaml  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.machine import machine, versions  # noqa: E402
from benchmarks.memory import Taken, run_measured  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402

Shapes = dict[str, tuple[int, ...]]
MINIGPT4 = (sys.executable, "-m", "minigpt4.cli.main")
TOKENIZER = PROJECT / "minigpt4" / "parts" / "language_model"
"""of the embedded default: its ids are the first of the 32,001"""
STEPS, KILLED_AT = 20, 10


@dataclass(frozen=True)
class Widths:
    """Sizes of the three parts; the defaults are the real ones, but for their depth."""

    layers: int = 2
    vision: int = 1408
    vision_inner: int = 6144
    vision_heads: int = 16
    q_former: int = 768
    q_former_inner: int = 3072
    q_former_heads: int = 12
    llm: int = 4096
    llm_inner: int = 11008
    llm_heads: int = 32
    rows: int = 32001


def vision_shapes(widths: Widths) -> Shapes:
    """Keys of `eva_vit_g.pth` (docs/originals/minigpt4.md#files-vit)."""
    width, inner = widths.vision, widths.vision_inner
    found: Shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 257, width),
                     "patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,)}
    for block in range(widths.layers):
        found |= {f"blocks.{block}.{name}": shape for name, shape in {
            "norm1.weight": (width,), "norm1.bias": (width,), "attn.q_bias": (width,), "attn.v_bias": (width,),
            "attn.qkv.weight": (3 * width, width), "attn.proj.weight": (width, width), "attn.proj.bias": (width,),
            "norm2.weight": (width,), "norm2.bias": (width,), "mlp.fc1.weight": (inner, width),
            "mlp.fc1.bias": (inner,), "mlp.fc2.weight": (width, inner), "mlp.fc2.bias": (width,)}.items()}
    return found


def q_former_shapes(widths: Widths) -> Shapes:
    """Keys of `blip2_pretrained_flant5xxl.pth` that are used (docs/originals/minigpt4.md#files-blip2)."""
    width, inner = widths.q_former, widths.q_former_inner
    found: Shapes = {"query_tokens": (1, 32, width), "ln_vision.weight": (widths.vision,),
                     "ln_vision.bias": (widths.vision,), "Qformer.bert.embeddings.LayerNorm.weight": (width,),
                     "Qformer.bert.embeddings.LayerNorm.bias": (width,)}
    for layer in range(widths.layers):
        prefix = f"Qformer.bert.encoder.layer.{layer}"
        inputs = {"attention": width} | ({"crossattention": widths.vision} if layer % 2 == 0 else {})
        for name, key_width in inputs.items():
            for head, source in (("query", width), ("key", key_width), ("value", key_width)):
                found[f"{prefix}.{name}.self.{head}.weight"] = (width, source)
                found[f"{prefix}.{name}.self.{head}.bias"] = (width,)
            found |= _dense_and_norm(f"{prefix}.{name}.output", width, width)
        found[f"{prefix}.intermediate_query.dense.weight"] = (inner, width)
        found[f"{prefix}.intermediate_query.dense.bias"] = (inner,)
        found |= _dense_and_norm(f"{prefix}.output_query", width, inner)
    return found


def llm_shapes(widths: Widths) -> Shapes:
    """Keys of a Vicuna folder (docs/originals/minigpt4.md#files-llm)."""
    width, inner = widths.llm, widths.llm_inner
    found: Shapes = {"model.embed_tokens.weight": (widths.rows, width), "lm_head.weight": (widths.rows, width),
                     "model.norm.weight": (width,)}
    for layer in range(widths.layers):
        prefix = f"model.layers.{layer}"
        found |= {f"{prefix}.self_attn.{name}_proj.weight": (width, width) for name in "qkvo"}
        found |= {f"{prefix}.mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        found |= {f"{prefix}.mlp.down_proj.weight": (width, inner)}
        found |= {f"{prefix}.{name}.weight": (width,) for name in ("input_layernorm", "post_attention_layernorm")}
    return found


def _dense_and_norm(prefix: str, width: int, inner: int) -> Shapes:
    return {f"{prefix}.dense.weight": (width, inner), f"{prefix}.dense.bias": (width,),
            f"{prefix}.LayerNorm.weight": (width,), f"{prefix}.LayerNorm.bias": (width,)}


def random_tensors(shapes: Shapes, dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    """Norms near 1, everything else near 0."""
    generator = torch.Generator().manual_seed(seed)
    return {name: (("norm" in name.lower() and name.endswith("weight"))
                   + 0.02 * torch.randn(shape, generator=generator)).to(dtype) for name, shape in shapes.items()}


def write_files(folder: Path, widths: Widths) -> None:
    """All files as their publishers laid them out, and a few drawn scenes to train on."""
    torch.save(random_tensors(vision_shapes(widths), torch.float16, 1), folder / "eva_vit_g.pth")
    torch.save({"model": random_tensors(q_former_shapes(widths), torch.float32, 2)},
               folder / "blip2_pretrained_flant5xxl.pth")
    projection: Shapes = {"llama_proj.weight": (widths.llm, widths.q_former), "llama_proj.bias": (widths.llm,)}
    torch.save({"model": random_tensors(projection, torch.float32, 3), "epoch": 3}, folder / "minigpt4.pth")
    _write_language_model(folder / "vicuna", widths)
    run_measured([*MINIGPT4, "data", "scenes", "--output", str(folder / "scenes"), "--stage1", "4", "--stage2", "40",
                  "--dialogues", "4", "--eval", "2"])


def _write_language_model(folder: Path, widths: Widths) -> None:
    folder.mkdir()
    tensors = random_tensors(llm_shapes(widths), torch.float16, 4)
    names = sorted(tensors)
    shards = {f"pytorch_model-0000{n + 1}-of-00002.bin": names[n::2] for n in range(2)}
    for file, held in shards.items():
        torch.save({name: tensors[name] for name in held}, folder / file)
    write_json(folder / "pytorch_model.bin.index.json",
               {"weight_map": {name: file for file, held in shards.items() for name in held}})
    write_json(folder / "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": widths.llm,
        "intermediate_size": widths.llm_inner, "num_hidden_layers": widths.layers,
        "num_attention_heads": widths.llm_heads, "vocab_size": widths.rows, "rms_norm_eps": 1e-6,
        "max_position_embeddings": 2048, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float16"})
    for file in TOKENIZER.glob("*token*"):
        shutil.copy(file, folder)


def run_yaml(folder: Path, widths: Widths) -> Path:
    """The config of the training; the chat reads its `model:` section."""
    model = {
        "arch": "minigpt4", "model_type": "pretrain_vicuna0", "behaviour": "standard", "low_resource": True,
        "ckpt": str(folder / "minigpt4.pth"), "max_txt_len": 32, "prompt_path": "prompts/alignment.txt",
        "prompt_template": "###Human: {} ###Assistant: ", "end_sym": "###",
        "vision": {"weights": str(folder / "eva_vit_g.pth"), "hidden_size": widths.vision, "dtype": "auto",
                   "intermediate_size": widths.vision_inner, "num_hidden_layers": widths.layers,
                   "num_attention_heads": widths.vision_heads},
        "resampler": {"weights": str(folder / "blip2_pretrained_flant5xxl.pth"), "hidden_size": widths.q_former,
                      "intermediate_size": widths.q_former_inner, "num_hidden_layers": widths.layers,
                      "num_attention_heads": widths.q_former_heads},
        "llm": {"weights": str(folder / "vicuna")},
    }
    datasets = {"cc_sbu_align": {"build_info": {"storage": str(folder / "scenes" / "stage2")}}}
    run = {"task": "image_text_pretrain", "lr_sched": "linear_warmup_cosine_lr", "init_lr": 1e-3, "min_lr": 1e-4,
           "warmup_lr": 1e-5, "warmup_steps": 2, "max_epoch": 2, "iters_per_epoch": STEPS // 2, "batch_size_train": 2,
           "num_workers": 0, "seed": 42, "device": "cpu", "precision": "fp32", "train_splits": ["train"],
           "output_dir": str(folder / "run")}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({"model": model, "datasets": datasets, "run": run}, sort_keys=False))
    return path


LOAD = """
import json, sys, time
from benchmarks.memory import anonymous_gib
from minigpt4.common.config import load_config
from minigpt4.assembly.build import build
begin, before = time.perf_counter(), anonymous_gib()
loaded = build(load_config(sys.argv[1], sys.argv[2:], sections=("model",)), device="cpu")
print(json.dumps({"seconds": time.perf_counter() - begin, "imports_gib": before, "after_gib": anonymous_gib(),
                  "parameters": sum(parameter.numel() for parameter in loaded.model.parameters())}))
"""


def loading(config: Path, *options: str) -> dict[str, float]:
    """Time and memory of loading alone; `beyond_gib` is the peak beyond what stays."""
    taken = run_measured([sys.executable, "-c", LOAD, str(config), *options])
    told: dict[str, float] = json.loads(taken.output.strip().splitlines()[-1])
    return {"seconds": told["seconds"], "model_gib": told["after_gib"] - told["imports_gib"],
            "peak_gib": taken.peak_gib - told["imports_gib"], "beyond_gib": taken.peak_gib - told["after_gib"],
            "parameters": told["parameters"]}


def training(config: Path, folder: Path) -> tuple[dict[str, Any], Path]:
    """20 steps in one go, and 20 with a kill -9 after ten and a resume: what they took, and whether they are equal."""
    train = [sys.executable, "train.py", "--cfg-path", str(config), "--options"]
    whole = run_measured([*train, f"run.output_dir={folder / 'whole'}"])
    first = folder / "broken" / f"checkpoint_{KILLED_AT:08d}"
    broken = run_measured([*train, f"run.output_dir={folder / 'broken'}"], kill_when=first.exists)
    resumed = run_measured([*train[:2], "--resume", *train[2:], f"run.output_dir={folder / 'broken'}"])
    last = f"checkpoint_{STEPS:08d}"
    same = _projection(folder / "broken" / last), _projection(folder / "whole" / last)
    losses = [json.loads(line) for line in (folder / "whole" / "log.jsonl").read_text().splitlines()]
    steps = [record["loss"] for record in losses if record["kind"] == "step"]
    return {"whole": _figures(whole), "killed": _figures(broken), "resumed": _figures(resumed),
            "resumed_equals_whole": all(torch.equal(value, same[1][name]) for name, value in same[0].items()),
            "first_loss": steps[0], "last_loss": steps[-1], "steps": len(steps)}, folder / "whole"


def _projection(bundle: Path) -> Mapping[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(bundle / "model.safetensors")


def _figures(taken: Taken) -> dict[str, float]:
    return {name: round(value, 2) for name, value in asdict(taken).items() if isinstance(value, float)}


def main() -> int:
    parser = argparse.ArgumentParser(description="The real widths, two layers deep, on this machine's CPU.")
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder on a disk with 4 GB")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "real_widths.json")
    parser.add_argument("--widths", type=json.loads, default={}, help="JSON with other sizes, for a quick try")
    arguments = parser.parse_args()
    widths, folder = Widths(**arguments.widths), arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, widths)
    config = run_yaml(folder, widths)
    full, small = loading(config, "model.llm.quantize=null"), loading(config)
    trained, run = training(config, folder)
    image = next((folder / "scenes" / "stage2" / "image").iterdir())
    answer = run_measured([*MINIGPT4, "chat", "--model", str(run), "--image", str(image), "--question",
                           "What is this?", "--max-new-tokens", "16", "--device", "cpu"])
    results = {
        "widths": asdict(widths), "largest_shard_gb": max(file.stat().st_size for file in folder.rglob("*.bin")) / 1e9,
        "load_fp32": full, "load_int8": small, "training_int8": trained,
        "chat_int8": {**_figures(answer), "answer": answer.output.strip()},
        "machine": machine(), "versions": versions("torch", "transformers", "bitsandbytes"),
    }
    write_json(arguments.output, results)
    print(json.dumps(results, indent=1))
    return 0 if trained["resumed_equals_whole"] and trained["steps"] == STEPS else 1


if __name__ == "__main__":
    sys.exit(main())
