"""`minigpt4 plan` beside what is measured: peak memory of two trainings and a chat, models of 1 GB and more, on a CPU.

    python benchmarks/plan.py --folder /some/disk     # writes benchmarks/results/plan.json; 8 GB of memory

Every figure is RssAnon of a process of its own, imports subtracted; random weights, drawn scenes. The status is 1 where
a plan is more than 10 % off. Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

import yaml  # noqa: E402

from benchmarks.machine import machine, versions  # noqa: E402
from benchmarks.memory import run_measured  # noqa: E402
from minigpt4.common.config import load_config  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.runners.planning.memory import Memory, chat_memory, training_memory  # noqa: E402
from minigpt4.runners.planning.report import load_of  # noqa: E402
from minigpt4.runners.planning.sizes import size_of  # noqa: E402

BAR = 0.10
GIB = 1 << 30
STEPS = 2
POSITIONS = 512
LLAMA = {"model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 16,
         "vocab_size": 32000, "max_position_embeddings": POSITIONS, "tie_word_embeddings": False}
VISION = {"name": "eva_vit", "weights": None, "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6,
          "intermediate_size": 1536, "image_size": 224}
Q_FORMER = {"name": "q_former", "weights": None, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6,
            "intermediate_size": 1536}
TOKENIZER = PROJECT / "minigpt4" / "parts" / "language_model"

IMPORTS = """
import minigpt4.inference.load, minigpt4.runners.runner_base, minigpt4.datasets.assembly, transformers.models.llama
import transformers.models.blip_2, torch.utils.tensorboard, matplotlib.pyplot
from benchmarks.memory import anonymous_gib
print(anonymous_gib())
"""
CHAT = """
import sys
from PIL import Image
import minigpt4
assistant = minigpt4.load(sys.argv[1], device="cpu")
question = "what is this " * 400
tokenizer, length = assistant.loaded.tokenizer, int(sys.argv[2])
question = " ".join(question.split()[:length // 2])
while len(tokenizer.encode(question, specials=False)) > length - 100:
    question = question.rpartition(" ")[0]
print(assistant.chat(Image.new("RGB", (300, 200), "red"), question, max_new_tokens=24))
"""


def config(folder: Path, name: str, *, layers: int, rows: int, llm: dict[str, Any] | None = None) -> Path:
    """A YAML for training with answers that fill every row."""
    content = {
        "model": {"arch": "minigpt4", "model_type": "custom", "behaviour": "standard", "template": "vicuna_v0",
                  "max_txt_len": 96, "prompt_path": "prompts/alignment.txt", "vision": VISION, "resampler": Q_FORMER,
                  "llm": {"random": {**LLAMA, "num_hidden_layers": layers}, "tokenizer": str(TOKENIZER),
                          **(llm or {})}},
        "datasets": {"cc_sbu_align": {"build_info": {"storage": str(folder / "long")}}},
        "run": {"task": "image_text_pretrain", "lr_sched": "linear_warmup_cosine_lr", "init_lr": 1e-4, "min_lr": 1e-5,
                "max_epoch": 1, "iters_per_epoch": STEPS, "batch_size_train": rows, "num_workers": 0, "seed": 42,
                "device": "cpu", "precision": "fp32", "train_splits": ["train"], "output_dir": str(folder / name)},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def write_data(folder: Path) -> None:
    """Described scenes whose descriptions are longer than `max_txt_len`, so that no row is short."""
    run_measured([sys.executable, "-m", "minigpt4.cli.main", "data", "scenes", "--output", str(folder / "scenes"),
                  "--stage1", "4", "--stage2", "40", "--dialogues", "4", "--eval", "2"])
    (folder / "scenes" / "stage2").rename(folder / "long")
    annotations = folder / "long" / "filter_cap.json"
    content = json.loads(annotations.read_text(encoding="utf-8"))
    for each in content["annotations"]:
        each["caption"] = " ".join([each["caption"]] * 4)
    write_json(annotations, content)


def planned(path: Path, *, chat: bool) -> Memory:
    read: Any = load_config(path)
    size = size_of(read.model, half=False)
    if chat:
        return chat_memory(size, positions=POSITIONS, value_bytes=4)
    return training_memory(size, load_of(read, size, half=False), on_cpu=True)


def compared(name: str, plan: Memory, measured: float) -> dict[str, Any]:
    off = plan.total / GIB / measured - 1
    print(f"{name}: planned {plan.total / GIB:.2f} GiB, measured {measured:.2f} GiB, {100 * off:+.1f} %")
    return {"planned_gib": round(plan.total / GIB, 3), "measured_gib": round(measured, 3), "off": round(off, 4),
            "shares": {key: round(value / GIB, 3) for key, value in vars(plan).items() if value}}


def main() -> int:
    parser = argparse.ArgumentParser(description="minigpt4 plan beside what is measured.")
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "plan.json")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_data(folder)
    imports = float(run_measured([sys.executable, "-c", IMPORTS]).output.split()[-1])
    train = [sys.executable, "train.py", "--cfg-path"]
    results = {}
    for name, path in (
        ("projection, 8 rows", config(folder, "projection", layers=24, rows=8)),
        ("whole language model, 4 rows", config(folder, "whole", layers=8, rows=4, llm={"freeze": False})),
    ):
        results[name] = compared(name, planned(path, chat=False), run_measured([*train, str(path)]).peak_gib - imports)
    path = config(folder, "chat", layers=24, rows=1)
    taken = run_measured([sys.executable, "-c", CHAT, str(path), str(POSITIONS)])
    results["chat"] = compared("chat", planned(path, chat=True), taken.peak_gib - imports)
    write_json(arguments.output, {"imports_gib": round(imports, 3), "bar": BAR, "configs": results,
                                  "machine": machine(), "versions": versions("torch", "transformers")})
    return 0 if all(abs(each["off"]) <= BAR for each in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
