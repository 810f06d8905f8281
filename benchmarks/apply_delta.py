"""Memory of `weights apply-delta` on a pair of real width: peak anonymous memory, and the sum checked bit for bit.

    python benchmarks/apply_delta.py --folder /some/disk     # 12 GB there; writes benchmarks/results/apply_delta.json

The pair is generated (seeded float16, 4096 wide, 32,000 rows, as many layers as fill `--gigabytes`); the status is 1
where the peak passes the bar or a tensor differs. Linux only: RssAnon is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

import torch  # noqa: E402

from benchmarks.machine import machine, versions  # noqa: E402
from benchmarks.memory import run_measured  # noqa: E402
from benchmarks.real_widths import Widths, llm_shapes  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.weights.files.model_folder import ModelFolder, write_model_folder  # noqa: E402
from minigpt4.weights.files.readers import open_weights  # noqa: E402
from minigpt4.weights.files.shard_writer import LazyTensor  # noqa: E402

ROWS = 32000
REAL = Widths()
BAR_GIB = 1.2


def base_tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Seeded by its name, so that base and delta can be made apart from each other."""
    generator = torch.Generator().manual_seed(sum(name.encode()) * 7919 + len(name))
    noise = torch.randn(shape, generator=generator, dtype=torch.float32)
    return (1 + 0.1 * noise).half() if len(shape) == 1 else (0.02 * noise).half()


def delta_tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A fine-tuned model minus the base, in float16; one row more than the base in the vocabulary."""
    generator = torch.Generator().manual_seed(sum(name.encode()) * 104729 + len(name))
    moved = (0.001 * torch.randn(shape, generator=generator, dtype=torch.float32)).half()
    rows = ROWS if shape[0] == ROWS + 1 else shape[0]
    base = base_tensor(name, (rows, *shape[1:]))
    moved[:rows] = (base + moved[:rows]) - base
    return moved


def write_folder(folder: Path, num_layers: int, rows: int, make: Callable[[str, tuple[int, ...]], torch.Tensor]
                 ) -> None:
    """A Hugging Face folder without a tokenizer."""
    tensors = [LazyTensor(name, shape, torch.float16, lambda name=name, shape=shape: make(name, shape))
               for name, shape in llm_shapes(Widths(layers=num_layers, rows=rows)).items()]
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": REAL.llm, "vocab_size": rows,
              "intermediate_size": REAL.llm_inner, "num_hidden_layers": num_layers,
              "num_attention_heads": REAL.llm_heads,
              "rms_norm_eps": 1e-6, "torch_dtype": "float16"}
    write_model_folder(ModelFolder(tensors, {"config.json": json.dumps(config).encode()}, {}, []), folder)


def differing(folder: Path, num_layers: int) -> list[str]:
    """Names of tensors of the result that are not the sum in memory, bit for bit."""
    made, base, delta = (open_weights(folder / name) for name in ("vicuna", "llama", "delta"))
    wrong = []
    for name in llm_shapes(Widths(layers=num_layers, rows=ROWS + 1)):
        total = delta.load(name).clone()
        start = base.load(name)
        total[: len(start)] += start
        if not torch.equal(made.load(name), total):
            wrong.append(name)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Peak memory of weights apply-delta.")
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder on a disk with room for the pair")
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of base and delta each (default: 4)")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "apply_delta.json")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    per_layer = 2e-9 * (4 * REAL.llm**2 + 3 * REAL.llm * REAL.llm_inner)
    num_layers = max(1, round((arguments.gigabytes - 4e-9 * ROWS * REAL.llm) / per_layer))
    write_folder(folder / "llama", num_layers, ROWS, base_tensor)
    write_folder(folder / "delta", num_layers, ROWS + 1, delta_tensor)
    size = sum(file.stat().st_size for file in (folder / "llama").iterdir()) / 1e9
    taken = run_measured([sys.executable, "-m", "minigpt4.cli.main", "weights", "apply-delta", "--base",
                          str(folder / "llama"), "--delta", str(folder / "delta"), "--target", str(folder / "vicuna")])
    wrong = differing(folder, num_layers)
    results: dict[str, Any] = {
        "base_gb": round(size, 2), "layers": num_layers, "peak_rss_anon_gib": round(taken.peak_gib, 3),
        "bar_gib": BAR_GIB, "seconds": round(taken.wall_seconds, 1), "differing_tensors": wrong, "machine": machine(),
        "versions": versions("torch", "safetensors"),
    }
    write_json(arguments.output, results)
    print(f"{size:.1f} GB base and delta: peak RssAnon {taken.peak_gib:.2f} GiB in {taken.wall_seconds:.0f} s, "
          f"{len(wrong)} tensors differ from the sum in memory")
    return 0 if taken.peak_gib < BAR_GIB and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
