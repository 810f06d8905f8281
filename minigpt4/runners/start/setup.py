"""From a config to a job, and from a job to a finished run: what `minigpt4 train` does.

Order: who we are, which device, join the others, build the model, make the task, run.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from minigpt4.assembly.build import build
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.manifest import versions
from minigpt4.common.config import Config, resolved_yaml
from minigpt4.common.config.write import plain
from minigpt4.common.devices import choose_device
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import ProcessGroup, join, place_from
from minigpt4.common.registry import runners, tasks
from minigpt4.common.seeds import seed_everything
from minigpt4.datasets.assembly import build_image_processors
from minigpt4.models.lora import adapters_of, base_is_frozen
from minigpt4.runners.checkpoint import FREE_KEYS, flatten
from minigpt4.runners.job import Job
from minigpt4.runners.logs import check_wandb
from minigpt4.runners.optimizer import DECAY_RULES, LrFactor
from minigpt4.runners.original_checkpoint import read_original_checkpoint
from minigpt4.runners.parallel.choose import check_parallel, choose_strategy
from minigpt4.runners.precision import choose_precision
from minigpt4.runners.watching import Watch
from minigpt4.tasks.image_text_pretrain import Describe
from minigpt4.tasks.stored_features import FeatureStore, open_store
from minigpt4.weights.bundles.adapters import load_adapters
from minigpt4.weights.bundles.bundle import Bundle, is_not_whole, load_bundle, open_bundle
from minigpt4.weights.bundles.licences import UNKNOWN, DataLicence
from minigpt4.weights.bundles.tokenizer_fingerprint import TokenizerFingerprint, fingerprint_of_tokenizer
from minigpt4.weights.files.shard_writer import SHARD_BYTES
from minigpt4.weights.plans.loading import PartOrigin

STORING_TASKS = ("image_text_pretrain",)
"""tasks that read stored features"""
MakeDescribe = Callable[[LoadedModel], Describe]
"""model -> what says captions during validation"""


@dataclass(frozen=True)
class LoadedBundle:
    """Keeps a `LoadedModel` as a bundle."""

    loaded: LoadedModel
    resolved_config: str
    stage: str
    data: tuple[DataLicence, ...] = ()
    shard_bytes: int = SHARD_BYTES

    def save(self, folder: Path, step: int) -> None:
        self.loaded.save_bundle(folder, resolved_config=self.resolved_config, stage=self.stage, step=step,
                                data=self.data, shard_bytes=self.shard_bytes)

    def take_part(self) -> None:
        self.loaded.take_part_in_bundle(self.shard_bytes)

    def restore(self, folder: Path) -> list[str]:
        """Raises `UserError` where the checkpoint lacks something that trains, or another part stands at a place."""
        bundle, parts = open_bundle(folder), self.loaded.model.parts()
        self._refuse_lacking(bundle)
        self._refuse_exchanged(bundle)
        restored, _ = load_bundle(bundle, {name: part for name, part in parts.items() if not is_not_whole(part)})
        adapters = load_adapters(bundle, parts)
        return self._report(bundle, restored, adapters)

    def _refuse_lacking(self, bundle: Bundle) -> None:
        lacking = [name for name, part in self.loaded.model.parts().items()
                   if not base_is_frozen(part) and part.state_dict() and name not in bundle.stored_parts]
        lacking += [f"adapters of the {name}" for name, part in self.loaded.model.parts().items()
                    if adapters_of(part) and name not in bundle.adapted_parts]
        if lacking:
            raise UserError("train.incomplete_checkpoint", where=str(bundle.folder),
                            what=f"lacks what trains: {', '.join(lacking)}",
                            fix="take another copy of this checkpoint, or an earlier one: --resume-from STEP")

    def _refuse_exchanged(self, bundle: Bundle) -> None:
        """Frozen parts and the tokenizer must be those of the run, whatever lies at their places now."""
        for name in self.loaded.model.parts():
            if name in bundle.stored_parts:
                continue
            if other := bundle.other_fingerprint(name, [one for one in self.loaded.origins[name] if one.fingerprint]):
                raise UserError("train.resume_part", where=str(bundle.folder), what=other,
                                fix="put the right one back, or start a new run in another run.output_dir")
        tokenizer, now = bundle.manifest.tokenizer, fingerprint_of_tokenizer(self.loaded.tokenizer_folder)
        if tokenizer is not None and tokenizer.identity != now.fingerprint:
            then = TokenizerFingerprint(tokenizer.identity, tokenizer.vocab_size, tokenizer.place)
            raise UserError("train.resume_part", where=str(bundle.folder),
                            what=f"was trained with {then}, this is {now}",
                            fix="put the right one back, or start a new run in another run.output_dir")

    def _report(self, bundle: Bundle, restored: Mapping[str, PartOrigin], adapters: Sequence[str]) -> list[str]:
        """What the start says: restored parts are from the checkpoint, whatever they were before."""
        loaded, changed = self.loaded, {name: (origin,) for name, origin in restored.items()}
        gone = {f"{name}: {origin}" for name in restored for origin in loaded.origins[name]}
        lines = [line for line in loaded.load_report if line not in gone]
        lines += [f"{bundle.folder}: {', '.join(restored)}, as they were after step {bundle.manifest.step}", *adapters]
        lines += [f"{name} was {bundle.manifest.versions[name]} when this checkpoint was written, is {number}: numbers "
                  "may differ in their last digits" for name, number in versions().items()
                  if bundle.manifest.versions.get(name, number) != number]
        return [*lines, *replace(loaded, origins={**loaded.origins, **changed}).describe().splitlines()]


class Observer(Protocol):
    """Looks at a model before its run and after it, on every rank."""

    def before(self, job: Job, loaded: LoadedModel) -> None:
        """The model is as it was built, before a checkpoint is resumed."""

    def after(self, job: Job, loaded: LoadedModel) -> None:
        """The run came to its end; a run that was stopped has none."""


def train(config: Config, *, resume: bool, resume_from: int | None = None,
          make_describe: MakeDescribe | None = None, observer: Observer | None = None) -> None:
    """Run a config in this process, which may be one of several.

    Args:
        config: the whole config.
        resume: continue from the newest checkpoint of the run folder.
        resume_from: continue from the checkpoint after this step.
        make_describe: what says captions during validation.
        observer: what looks at the model before and after.
    """
    run = config.run
    place = place_from(os.environ)
    device = choose_device(run.device, place)
    choose_precision(run, device)
    check_parallel(config, device)
    check_wandb(run)
    if run.num_threads is not None:
        torch.set_num_threads(run.num_threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high" if run.tf32 else "highest")
    group = join(place, cuda=device.type == "cuda", timeout=run.process_timeout,
                 alone=run.parallel == "fsdp")
    try:
        job = make_job(config, group, device, make_describe)
        assert isinstance(job.bundle, LoadedBundle), "make_job makes it so"
        further = {} if resume_from is None else {"resume_from": resume_from}
        runner = runners.get(run.runner, where="run.runner")(job, resume=resume, **further)
        if observer is not None:
            observer.before(job, job.bundle.loaded)
        try:
            ended = runner.run()
        finally:
            if job.store is not None:
                job.store.close()
        if ended and observer is not None:
            observer.after(job, job.bundle.loaded)
    finally:
        group.close()


def make_job(config: Config, group: ProcessGroup, device: torch.device,
             make_describe: MakeDescribe | None = None) -> Job:
    """Build the model and the task of a config. Raises `UserError` for anything that does not belong together."""
    taken_over = read_original_checkpoint(config.run.resume_ckpt_path) if config.run.resume_ckpt_path else None
    if taken_over is not None:
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, ckpt=taken_over.place))
    strategy = choose_strategy(config, group, device)
    seed_everything(config.run.seed)
    loaded = build(config, device=str(device), spread=strategy.spread if strategy.collective else None)
    strategy.begin(loaded.model)
    if config.run.knows is not None:
        loaded = replace(loaded, knowledge=config.run.knows)
    describe = make_describe(loaded) if make_describe else None
    store = store_of(config, loaded, device)
    kept = {} if store is None else {"store": store}
    task = tasks.get(config.run.task, where="run.task")(config, loaded, group.place, describe, **kept)
    resolved = resolved_yaml(config)
    return Job(
        run=config.run, model=loaded.model, task=task, group=group, device=device,
        bundle=LoadedBundle(loaded, resolved, config.run.job_name, _licences(config), config.run.shard_bytes),
        resolved_config=resolved, imports=config.imports,
        decay_rule=DECAY_RULES[loaded.behaviour.decay_rule], lr_factor=lr_factors_of(loaded),
        settings=settings_of(config), store=store,
        watch=Watch(loaded, config.run.watch) if config.run.watch else None,
        report=(*loaded.load_report, *loaded.describe().splitlines(), *strategy.describe()), strategy=strategy,
        vocab_size_to_beat=loaded.vocab_size if loaded.llm_loaded_and_frozen else None, taken_over=taken_over,
    )


def store_of(config: Config, loaded: LoadedModel, device: torch.device) -> FeatureStore | None:
    """The feature store that a config names; None where it names none.

    Raises `UserError` where nothing can be stored for this model, its images or its task.
    """
    run = config.run
    if run.feature_store is None:
        return None
    if run.task not in STORING_TASKS:
        raise UserError("features.task", where="run.feature_store", what=f"is set, and the task {run.task} stores "
                        "nothing", fix=f"leave it out, or use {' or '.join(STORING_TASKS)}")
    processors = [processor for split in run.train_splits for processor in build_image_processors(
        config.datasets, split, loaded.image_spec, loaded.behaviour.train_crop).values()]
    return open_store(run, loaded, processors, choose_precision(run, device).name)


def lr_factors_of(loaded: LoadedModel) -> LrFactor:
    """A parameter's learning rate is that of its part."""
    factors = {name: loaded.config.parts()[part].lr_factor for part, module in loaded.model.parts().items()
               for name in _names_in(loaded.model, module)}
    return factors.__getitem__


def _names_in(model: nn.Module, part: nn.Module) -> list[str]:
    own = {id(parameter) for parameter in part.parameters()}
    return [name for name, parameter in model.named_parameters() if id(parameter) in own]


def _licences(config: Config) -> tuple[DataLicence, ...]:
    """The data sets of a config as the manifest of its bundle names them."""
    return tuple(DataLicence(name, getattr(section, "licence", None) or UNKNOWN)
                 for name, section in config.datasets.items())


def settings_of(config: Config) -> dict[str, str]:
    """Everything that makes a run what it is: model, data, and the run keys that are not free to change on resume."""
    model = {key: value for key, value in plain(config.model).items() if key != "allow_other_llm"}
    datasets = {name: {key: value for key, value in section.items() if key != "licence"}
                for name, section in plain(config.datasets).items()}
    run = {key: value for key, value in plain(config.run).items() if key not in FREE_KEYS}
    return flatten({"model": model, "datasets": datasets, "run": run})
