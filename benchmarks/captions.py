"""Captions of a folder beside transformers' own `generate`, same weights, same prompt, same batch size, in turns.

    python benchmarks/captions.py      # writes benchmarks/results/captions.json; status 1 where the bar is missed

Ours is `Captioner` as `minigpt4 caption` uses it; the peer opens the same files with the same image processor and calls
`Blip2ForConditionalGeneration.generate` on batches. Once all captions have 32 tokens, once they end where they end (at
a word that is declared the end, so that lengths differ). Greedy; CPU seconds at one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks.machine import machine, versions  # noqa: E402
from benchmarks.yardstick import IMAGE_TOKEN_ID, ROUNDS, in_turns, median_ratio, our_model, peer_model  # noqa: E402
from minigpt4.assembly.loaded import LoadedModel  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.generation.settings import DecodingSettings  # noqa: E402
from minigpt4.inference.captioning import Captioner  # noqa: E402
from minigpt4.inference.images import as_image_ref, processor_of  # noqa: E402
from minigpt4.records.conversations import Conversation, Turn  # noqa: E402

IMAGES, BATCH, LENGTH = 24, 8, 32
PROMPT = " ".join(f"w{number}" for number in range(12))
FASTER = 1.05
"""least speed in that of the peer, where all captions are of one length"""


def write_images(folder: Path) -> list[Path]:
    """Smooth images of noise, as JPEG."""
    paths = []
    for number in range(IMAGES):
        coarse = np.random.default_rng(number).integers(0, 256, (15, 20, 3), dtype=np.uint8)
        paths.append(folder / f"{number:02d}.jpg")
        Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def our_captions(loaded: LoadedModel, paths: Sequence[Path], settings: DecodingSettings) -> list[str]:
    return [each.caption for each in Captioner(loaded, settings, PROMPT).describe(paths, batch_size=BATCH)]


def peer_captions(peer: Any, loaded: LoadedModel, ids: list[int], paths: Sequence[Path], settings: DecodingSettings
                  ) -> list[str]:
    """The same through `generate`; `ids`: the prompt with the peer's placeholders."""
    processor, said = processor_of(loaded), []
    prompt = torch.tensor([ids] * BATCH)
    for first in range(0, len(paths), BATCH):
        pixels = torch.stack([processor(as_image_ref(path)) for path in paths[first : first + BATCH]])
        out = peer.generate(pixel_values=pixels, input_ids=prompt, attention_mask=torch.ones_like(prompt),
                            do_sample=False, max_new_tokens=LENGTH, min_new_tokens=settings.min_new_tokens or None,
                            eos_token_id=loaded.tokenizer.eos_token_id, pad_token_id=0)
        said += [loaded.tokenizer.decode(_up_to(loaded.tokenizer.eos_token_id, row[len(ids):].tolist())) for row in out]
    return said


def _up_to(end: int | None, row: list[int]) -> list[int]:
    """The ids before the end; what follows is padding."""
    return row[: row.index(end)] if end in row else row


def prompt_ids(loaded: LoadedModel, path: Path) -> list[int]:
    text = loaded.renderer.chat.with_images_before(PROMPT, 1)
    rendered = loaded.renderer.render_prompt(Conversation((Turn("user", text),), (as_image_ref(path),)))
    return [IMAGE_TOKEN_ID if slot >= 0 else one for one, slot in zip(rendered.ids, rendered.slots, strict=True)]


def measure() -> dict[str, Any]:
    torch.set_num_threads(1)
    ours = our_model()
    peer = peer_model(ours)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_images(Path(folder))
        ids = prompt_ids(ours, paths[0])

        def compared(settings: DecodingSettings) -> dict[str, Any]:
            variants: dict[str, Callable[[], list[str]]] = {
                "transformers": lambda: peer_captions(peer, ours, ids, paths, settings),
                "minigpt4": lambda: our_captions(ours, paths, settings),
            }
            said = {name: captions() for name, captions in variants.items()}
            taken = in_turns(variants)
            seconds = {name: [spent.cpu_seconds for spent in spents] for name, spents in taken.items()}
            ratio = median_ratio(seconds["transformers"], seconds["minigpt4"])
            return {"images_per_cpu_second": {name: round(IMAGES / median(each), 2) for name, each in seconds.items()},
                    "speed_to_peer": round(ratio, 3), "same_captions": said["transformers"] == said["minigpt4"],
                    "tokens": Counter(len(text.split()) for text in said["minigpt4"]).most_common()}

        one_length = compared(DecodingSettings(max_new_tokens=LENGTH, min_new_tokens=LENGTH))
        spoken = Counter(word for text in our_captions(ours, paths, DecodingSettings(max_new_tokens=LENGTH))
                         for word in text.split()[2:])
        ours.tokenizer.eos_token_id = ours.tokenizer.encode(spoken.most_common(3)[-1][0], specials=True)[0]
        many_lengths = compared(DecodingSettings(max_new_tokens=LENGTH))
    return {"rounds": ROUNDS, "images": IMAGES, "batch": BATCH, "machine": machine(threads=1),
            "versions": versions("torch", "transformers"), "one_length": one_length, "many_lengths": many_lengths}


def main() -> int:
    parser = argparse.ArgumentParser(description="Captions of a folder beside transformers' own generate.")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "captions.json")
    arguments = parser.parse_args()
    results = measure()
    write_json(arguments.output, results)
    for name in ("one_length", "many_lengths"):
        figures = results[name]
        print(f"{name}: {figures['images_per_cpu_second']} images/CPU-s, {figures['speed_to_peer']} of the peer's "
              f"speed, same captions: {figures['same_captions']}, tokens {figures['tokens']}")
    met = results["one_length"]["speed_to_peer"] >= FASTER
    return 0 if met and results["one_length"]["same_captions"] else 1


if __name__ == "__main__":
    sys.exit(main())
