"""From encoded photographs to pixels: Pillow beside the fast ways, and the whole loader beside both.

    DATA=folder python benchmarks/loader.py    # writes benchmarks/results/loader.json; status 1 where a bar is missed

Photographs of the web (DATA/photos/web, with their noise) as img2dataset writes them, baseline JPEGs of 640x480; the
same, smoothed; the files as they were published, most of them progressive; and at 12 megapixels. CPU-seconds at one
thread, variants in turns, medians of five rounds. `pillow` is what the originals do: decode, two bicubic passes,
normalise. `levels` leaves the normalising to the device, as training does; the bars of 640x480 are for these.
Differences are from Pillow's pixels, in levels of 255.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image, ImageFilter  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.machine import machine, versions  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.datasets.formats.shards import open_shards  # noqa: E402
from minigpt4.datasets.loader import TrainingLoader  # noqa: E402
from minigpt4.datasets.mixture import Mixture  # noqa: E402
from minigpt4.processors.captions import Identity  # noqa: E402
from minigpt4.processors.images import FittedImages  # noqa: E402
from minigpt4.processors.levels import LevelsOf  # noqa: E402
from minigpt4.records.batches import Rendered  # noqa: E402
from minigpt4.records.conversations import Conversation  # noqa: E402
from minigpt4.records.images import ImageRef, ImageSpec, Method  # noqa: E402

DATA = Path(os.environ.get("DATA", PROJECT / "data")) / "photos" / "web"
ROUNDS = 5
SIZES = (224, 336, 448)
SMALL, LARGE = (640, 480), (4000, 3000)
QUALITY = 90
NOISE = 3.0
"""levels that a sensor of 12 megapixels adds: the photographs are enlarged to that size and have none of their own"""
METHODS: tuple[Method, ...] = ("pillow", "fast", "fast_drafts")


@dataclass(frozen=True)
class Bar:
    """A figure of the result and the least, or most, it may be."""

    figure: tuple[str, ...]
    value: float
    at_most: bool = False

    def met(self, figures: Mapping[str, Any]) -> bool:
        found: Any = figures
        for key in self.figure:
            found = found[key]
        return bool(found <= self.value if self.at_most else found >= self.value)


BARS = (
    Bar(("photographs", "speed", "fast, levels"), 2.4), Bar(("smooth", "speed", "fast, levels"), 2.8),
    Bar(("12 megapixels", "speed", "fast"), 2.0), Bar(("12 megapixels", "speed", "fast_drafts"), 3.0),
    *(Bar(("photographs", "difference", f"fast {size}", "largest"), 2, at_most=True) for size in SIZES),
    *(Bar(("photographs", "difference", f"fast {size}", "share"), 0.01, at_most=True) for size in SIZES),
)


def photographs(paths: Sequence[Path], sides: tuple[int, int], *, blur: float = 0, noise: float = 0) -> list[bytes]:
    """Photographs at these sides as baseline JPEGs, smoothed or with noise added."""
    made = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        if image.height > image.width:
            image = image.transpose(Image.Transpose.ROTATE_90)
        image = image.resize(sides, Image.Resampling.BICUBIC)
        if blur:
            image = image.filter(ImageFilter.GaussianBlur(blur))
        if noise:
            added = np.random.default_rng(0).normal(0, noise, (sides[1], sides[0], 3))
            image = Image.fromarray((np.asarray(image) + added).clip(0, 255).astype(np.uint8))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY)
        made.append(buffer.getvalue())
    return made


def ways(size: int) -> dict[str, Callable[[ImageRef], Tensor]]:
    """Name of a variant -> image to pixels."""
    readers = {method: FittedImages(ImageSpec(size=size, method=method)) for method in METHODS}
    return {**readers, "fast, levels": readers["fast"].levels, "fast_drafts, levels": readers["fast_drafts"].levels}


def timed(images: Sequence[bytes], passes: int) -> dict[str, dict[str, float]]:
    """Milliseconds an image of each variant, and how many times Pillow's speed it has."""
    refs = [ImageRef(data=content) for content in images]
    taken: dict[str, list[float]] = {name: [] for name in ways(SIZES[0])}
    for number in range(ROUNDS + 1):
        for name, way in ways(SIZES[0]).items():
            begun = time.process_time()
            for _ in range(passes):
                for ref in refs:
                    way(ref)
            taken[name] += [(time.process_time() - begun) * 1000 / passes / len(refs)] if number else []
    speed = {name: [base / each for base, each in zip(taken["pillow"], values, strict=True)]
             for name, values in taken.items()}
    return {"milliseconds": {name: round(median(values), 3) for name, values in taken.items()},
            "speed": {name: round(median(values), 3) for name, values in speed.items()},
            "speed_least": {name: round(min(values), 3) for name, values in speed.items()}}


def differences(images: Sequence[bytes]) -> dict[str, dict[str, float]]:
    """By method and size: largest and mean difference from Pillow, and the largest share of values that differ."""
    found = {}
    for size in SIZES:
        readers = {method: FittedImages(ImageSpec(size=size, method=method)) for method in METHODS}
        for method in METHODS[1:]:
            off = [(readers[method].levels(ref).int() - readers["pillow"].levels(ref).int()).abs()
                   for ref in (ImageRef(data=content) for content in images)]
            found[f"{method} {size}"] = {
                "largest": max(int(each.max()) for each in off),
                "mean": round(sum(float(each.float().mean()) for each in off) / len(off), 4),
                "share": round(max(float((each > 0).float().mean()) for each in off), 5)}
    return found


@dataclass(frozen=True)
class Words:
    """A renderer that costs nothing, so that images are what is measured."""

    pad_token_id: int = 0
    prompt_per: str = "sample"

    def render(self, conversation: Conversation, draw: int) -> Rendered:
        return Rendered([1, 0, 2], [-100, -100, 2], [-1, 0, -1], (1,))


def whole_loader(images: Sequence[bytes]) -> dict[str, float]:
    """CPU-milliseconds a sample of the training loader over a shard: member, caption, pixels and batch.

    `pillow` and `fast` normalise; `levels` is `fast` as training asks for it.
    """
    readers = {method: FittedImages(ImageSpec(size=SIZES[0], method=method)) for method in METHODS[:2]}
    ways = {**readers, "levels": LevelsOf(readers["fast"])}
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(Path(folder) / "00000.tar", "w") as tar:
            for number, content in enumerate(images):
                for name, member in ((f"{number:09}.jpg", content), (f"{number:09}.txt", b"a photograph")):
                    info = tarfile.TarInfo(name)
                    info.size = len(member)
                    tar.addfile(info, io.BytesIO(member))
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS + 1):
            for name, times in taken.items():
                source = Mixture([open_shards("web", folder, Identity())], [1.0], 0)
                made = TrainingLoader(source, Words(), {"web": ways[name]}, batch_size=8)  # type: ignore[dict-item]
                batches = iter(made)
                begun = time.process_time()
                for _ in range(10):
                    next(batches)
                times += [(time.process_time() - begun) * 1000 / 80] if number else []
    speed = {f"speed of {name}": median(one / other for one, other in zip(taken["pillow"], taken[name], strict=True))
             for name in ways}
    return {**{name: round(median(times), 3) for name, times in taken.items()},
            **{name: round(ratio, 3) for name, ratio in speed.items()}}


def measure(folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        sys.exit(f"{folder} has no .jpg: set DATA to the folder with photos/web")
    small = photographs(paths, SMALL)
    sets = {"photographs": (small, 5), "smooth": (photographs(paths, SMALL, blur=2), 5),
            "as published": ([path.read_bytes() for path in paths], 3),
            "12 megapixels": (photographs(paths[:4], LARGE, noise=NOISE), 1)}
    figures: dict[str, Any] = {}
    for name, (images, passes) in sets.items():
        kib = sum(map(len, images)) / len(images) / 1024
        figures[name] = {"images": len(images), "kib": round(kib, 1), **timed(images, passes),
                         "difference": differences(images)}
        print(name, figures[name], flush=True)
    return {**figures, "loader_milliseconds": whole_loader(small)}


def missed(figures: Mapping[str, Any]) -> list[str]:
    """The figures that are not within their bars."""
    return [" / ".join(bar.figure) for bar in BARS if not bar.met(figures)]


def main() -> int:
    parser = argparse.ArgumentParser(description="From encoded photographs to pixels.")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "loader.json")
    figures = measure(DATA)
    figures |= {"missed": missed(figures), "rounds": ROUNDS, "machine": machine(threads=1),
                "versions": versions("torch", "pillow", "simplejpeg", "numpy")}
    write_json(parser.parse_args().output, figures)
    print("missed:", ", ".join(figures["missed"]) or "nothing")
    return 1 if figures["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
