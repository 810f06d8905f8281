"""What a run would be, without loading a weight: paths, keys, names, data, length, schedule (`--dry-run`)."""

from __future__ import annotations

from pathlib import Path

from minigpt4.assembly.build import build_renderer
from minigpt4.common.config import Config
from minigpt4.common.devices import choose_device
from minigpt4.common.process_group import Place
from minigpt4.common.registry import runners, tasks
from minigpt4.datasets.assembly import build_source
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.datasets.mixture import Mixture
from minigpt4.runners.config import RunConfig
from minigpt4.runners.logs import check_wandb
from minigpt4.runners.optimizer import all_frozen
from minigpt4.runners.parallel.choose import check_parallel
from minigpt4.runners.precision import choose_precision
from minigpt4.runners.run_folder import RunFolder
from minigpt4.runners.schedules import build_schedule
from minigpt4.runners.timetable import Timetable
from minigpt4.tasks.image_text_pretrain import describe_source, samples_of_a_batch


def dry_run(config: Config, place: Place, *, resume: bool) -> list[str]:
    """Lines that say what would be trained.

    Raises `UserError` for the first thing a real start would stumble over: device, packages, folder, data, schedule.
    """
    run: RunConfig = config.run
    device = choose_device(run.device, place)
    precision = choose_precision(run, device)
    check_parallel(config, device)
    check_wandb(run)
    tasks.get(run.task, where="run.task")
    runners.get(run.runner, where="run.runner")
    if not run.evaluate and all(part.freeze and not part.lora.r for part in config.model.parts().values()):
        raise all_frozen()
    RunFolder(Path(run.output_dir)).check(resume=resume)
    renderer = build_renderer(config.model)
    source = build_source(config.datasets, seed=run.seed, splits=run.train_splits)
    size = samples_of_a_batch(config, lambda: source, renderer)
    timetable = _timetable(config, source, size * place.world_size)
    schedule = build_schedule(run, timetable)
    first, last = (schedule.lr(timetable.at(step)) for step in (0, timetable.steps - 1))
    return [
        *_parts(config),
        f"template {renderer.training.name}, {renderer.tokens_per_image} tokens per image",
        *describe_source(source),
        f"{timetable.epochs} epochs x {timetable.iterations_per_epoch} micro-batches of {size} on "
        f"{place.world_size} process(es), {timetable.window} to a step: {timetable.steps} steps",
        f"{run.lr_sched}: {first:.3g} at the first step, {last:.3g} at the last",
        f"{device.type}, {precision.name}; results in {run.output_dir}",
        "dry run: everything was found, nothing was loaded or written",
    ]


def _timetable(config: Config, source: Mixture | ShardStream, samples: int) -> Timetable:
    if isinstance(source, Mixture):
        source.require(samples)
        once = max(1, source.num_samples // samples)
    else:
        once = 1
    return Timetable(config.run.max_epoch, config.run.iters_per_epoch or once, config.run.accum_grad_iters)


def _parts(config: Config) -> list[str]:
    """One line for each part of `model:`: trained or frozen, and where its weights are from."""
    lines = [f"{config.model.arch}, behaviour {config.model.behaviour}"]
    for name, part in config.model.parts().items():
        state = "frozen" if part.freeze else "trains"
        lines.append(f"{name:<10} {part.name:<16} {state:<7} {part.weights or 'random'}")
    return lines + ([f"checkpoint {config.model.ckpt}"] if config.model.ckpt else [])

