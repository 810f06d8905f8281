"""What this machine has and lacks for a run: one finding a line, each with what to do about it.

Nothing is loaded and nothing is written; packages are asked for their version before they are imported.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minigpt4.common.config import load_config
from minigpt4.common.config.paths import PACKAGE, SHIPPED_PARTS
from minigpt4.common.errors import UserError, UserErrors
from minigpt4.common.versions import SUPPORTED, Range
from minigpt4.weights.download.fetch import partial_of
from minigpt4.weights.download.folder import FOLDER, wanted_files
from minigpt4.weights.download.known import KnownWeights, known_weights
from minigpt4.weights.files.disk import as_gigabytes

State = Literal["good", "note", "bad"]
GB = 1e9

PYTHON = Range("3.11", "3.14")
EXTRAS: Mapping[str, tuple[str, str]] = {
    "gradio": ("demo", "the chat page"),
    "peft": ("peft", "LoRA"),
    "bitsandbytes": ("quantized", "language models in 8 and 4 bit"),
    "wandb": ("wandb", "logs in Weights & Biases"),
}
"""package -> extra that brings it, and what for; a test holds this together with pyproject.toml"""
UNWANTED: Mapping[str, str] = {
    "torchvision": "one that does not fit torch breaks transformers at import",
    "salesforce-lavis": "it pins transformers below 4.27",
}
"""packages of other projects that are known to break ours when they are installed"""
PARTS = ("vision_q_former/model.safetensors", "language_model/model.safetensors")
"""of the embedded default"""
LITTLE_DISK = 5 * GB
JOIN_SECONDS = 60.0
"""until processes that do not come are missing"""

Installed = Callable[[str], str]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `fix` says what to do, empty if nothing is to be done."""

    topic: str
    state: State
    what: str
    fix: str = ""


def examine(configs: Sequence[Path] = (), options: Sequence[str] = (), *,
            installed: Installed = importlib.metadata.version) -> Iterator[Finding]:
    """Examine everything that can be examined.

    Args:
        configs: YAMLs whose files are looked for.
        options: changes of their keys.
        installed: name -> version; raises `PackageNotFoundError` for an absent one.
    """
    yield _python()
    yield from _packages(installed)
    yield from _extras(installed)
    yield from _unwanted(installed)
    yield from _devices()
    yield from _processes()
    yield _disk(Path())
    yield _parts()
    yield from _known_weights(FOLDER)
    for path in configs:
        yield from _files_of(path, options)


def _python() -> Finding:
    version = platform.python_version()
    if PYTHON.holds(version):
        return Finding("python", "good", f"{version} at {sys.executable}")
    return Finding("python", "bad", f"{version} is outside {PYTHON}", "make an environment with Python 3.12")


def _packages(installed: Installed) -> Iterator[Finding]:
    for name, supported in SUPPORTED.items():
        version = _version(name, installed)
        if version is not None and supported.holds(version):
            yield Finding(name, "good", version)
        else:
            what = "is not installed" if version is None else f"{version} is outside {supported}"
            yield Finding(name, "bad", what, f'pip install "{name}{supported}"')


def _extras(installed: Installed) -> Iterator[Finding]:
    for name, (extra, purpose) in EXTRAS.items():
        version = _version(name, installed)
        if version is None:
            what = f"is not installed; needed only for {purpose}"
            yield Finding(name, "note", what, f"pip install 'minigpt4[{extra}]'")
        else:
            yield Finding(name, "good", f"{version}, for {purpose}")


def _unwanted(installed: Installed) -> Iterator[Finding]:
    for name, trouble in UNWANTED.items():
        if (version := _version(name, installed)) is not None:
            yield Finding(name, "note", f"{version} is installed and not used: {trouble}", f"pip uninstall {name}")


def _version(name: str, installed: Installed) -> str | None:
    try:
        return installed(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[Finding]:
    """Cores and memory; accelerators, and why none is usable although a driver is installed."""
    yield Finding("cpu", "good", f"{os.cpu_count()} cores, {_ram()}, {platform.system()} {platform.machine()}")
    try:
        import torch
    except ImportError as error:
        yield Finding("devices", "bad", f"torch cannot be imported ({error})", "install torch again")
        return
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield Finding(f"cuda:{number}", "good", f"{name}, {free / GB:.1f} of {total / GB:.1f} GB free")
    if torch.backends.mps.is_available():
        yield Finding("mps", "good", "Apple GPU; use run.device=mps")
    elif not torch.cuda.is_available():
        yield _no_gpu(torch.version.cuda)


def _no_gpu(built_for: str | None) -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("gpu", "note", "none; everything runs on the CPU, large models slowly")
    if built_for is None:
        return Finding("gpu", "bad", "an NVIDIA driver is here, but this torch was built without CUDA",
                       "install torch from https://pytorch.org/get-started for your CUDA")
    return Finding("gpu", "bad", f"an NVIDIA driver is here, but torch (CUDA {built_for}) cannot use it",
                   "look at nvidia-smi: the driver may be too old, or CUDA_VISIBLE_DEVICES empty")


def _processes() -> Iterator[Finding]:
    """Under torchrun: do all processes of the run find each other?"""
    from minigpt4.common.process_group import join, place_from

    try:
        place = place_from(os.environ)
        join(place, cuda=False, timeout=JOIN_SECONDS).close()
    except UserError as error:
        yield Finding("processes", "bad", _sentence(error), error.fix)
        return
    if place.world_size > 1:
        yield Finding("processes", "good", f"rank {place.rank} found all {place.world_size}")


def _ram() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "memory unknown"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GB:.0f} GB of memory"


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    if free >= LITTLE_DISK:
        return Finding("disk", "good", f"{free / GB:.0f} GB free here")
    return Finding("disk", "note", f"only {free / GB:.1f} GB free here; a 7B model in 16 bit has 13.5",
                   "run from a larger disk")


def _parts() -> Finding:
    missing = [name for name in PARTS if not (PACKAGE / SHIPPED_PARTS / name).is_file()]
    if missing:
        return Finding("embedded default", "bad", f"{', '.join(missing)} is missing from the package",
                       "install the package again, or run: make parts")
    size = sum((PACKAGE / SHIPPED_PARTS / name).stat().st_size for name in PARTS)
    return Finding("embedded default", "good", f"its parts are here ({size / 1e6:.1f} MB); to try it: make demo")


def _known_weights(folder: Path) -> Iterator[Finding]:
    """Which of the known weights are where `minigpt4 weights download` puts them."""
    known = known_weights()
    begun = {name: weights for name, weights in known.items() if partial_of(weights.place(folder)).exists()}
    here = {name: weights for name, weights in known.items() if weights.place(folder).exists()}
    for name, weights in here.items():
        yield _here(name, weights, folder)
    for name in begun:
        yield Finding("weights", "note", f"{name} is begun in {folder}", f"minigpt4 weights download {name}")
    absent = len(known) - len(here | begun)
    if absent:
        yield Finding("weights", "note", f"{absent} of {len(known)} known by name are not in ./{folder}; needed only "
                      "for the real MiniGPT-4", "minigpt4 weights download --list")


def _here(name: str, weights: KnownWeights, folder: Path) -> Finding:
    place = weights.place(folder)
    amiss = [file.place for file in wanted_files(weights, folder) if not file.is_here]
    if amiss:
        return Finding("weights", "bad", f"{place}: {', '.join(path.name for path in amiss)} is absent or not whole",
                       f"to see what is missing: minigpt4 weights download {name} --offline")
    files = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place]
    return Finding("weights", "good", f"{place}, {as_gigabytes(sum(path.stat().st_size for path in files))}")


def _files_of(path: Path, options: Sequence[str]) -> Iterator[Finding]:
    """What a config names and does not exist, one finding each."""
    try:
        load_config(path, options)
    except UserErrors as errors:
        yield from (Finding(path.name, "bad", _sentence(error), error.fix) for error in errors.errors)
    except UserError as error:
        yield Finding(path.name, "bad", _sentence(error), error.fix)
    else:
        yield Finding(path.name, "good", "every key is known and every file it names is here")


def _sentence(error: UserError) -> str:
    return f"{error.where}: {error.what}" if error.where else error.what
