"""The loop: windows of micro-batches to optimizer steps, with validation, logs and checkpoints on the way.

Knows no system and no data set: the task says what a step is and what is measured, the bundle keeper writes weights.
Everything random is seeded by (seed, step, rank), so the step determines all randomness and the data.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from minigpt4.common.devices import is_out_of_memory
from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file
from minigpt4.common.registry import runners
from minigpt4.common.seeds import seed_everything, seed_for
from minigpt4.datasets.ledger import of_rank
from minigpt4.datasets.loader import naming_dead_workers
from minigpt4.datasets.share import batches_per_step
from minigpt4.records.batches import Batch
from minigpt4.runners.checkpoint import (
    PROCESSES,
    RunState,
    check_data,
    check_settings,
    read_state,
    write_checkpoint,
    write_together,
)
from minigpt4.runners.config import RETIRED_KEYS, RunConfig, relations
from minigpt4.runners.console import Console, start_report
from minigpt4.runners.curve import draw_curve
from minigpt4.runners.guards import NonFiniteGuard, check_first_loss, find_culprit, out_of_memory
from minigpt4.runners.interrupt import StopRequest
from minigpt4.runners.job import Job
from minigpt4.runners.lock import RunLock
from minigpt4.runners.logs import Logs, StepRecord, open_logs
from minigpt4.runners.optimizer import build_optimizer, trainable
from minigpt4.runners.original_checkpoint import first_step_after, moments_for
from minigpt4.runners.pace import Pace, memory_gib
from minigpt4.runners.parallel.optimizer_state import in_order_of, restored
from minigpt4.runners.precision import choose_precision
from minigpt4.runners.run_folder import RunFolder
from minigpt4.runners.schedules import build_schedule
from minigpt4.runners.timetable import Timetable
from minigpt4.runners.update import Update
from minigpt4.runners.validation import measure_split, sample_captions
from minigpt4.runners.window import WindowGradient, WindowResult
from minigpt4.weights.bundles.seal import compare_checksums

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _StepSums:
    """What the ranks exchange after a window, summed."""

    loss_sum: float
    bad: float
    samples: float
    unreadable: float
    unsupervised: float
    stop: float


@runners.register("runner_base")
class RunnerBase:
    """Trains, measures and keeps one job.

    Args:
        job: model, task and everything else of the run.
        resume: continue from the newest complete checkpoint of the run folder.
        resume_from: continue from the checkpoint after this step instead; later ones are set aside.
    """

    Config = RunConfig
    retired_keys = RETIRED_KEYS
    relations = staticmethod(relations)

    def __init__(self, job: Job, *, resume: bool = False, resume_from: int | None = None) -> None:
        self.job = job
        self.run_config = job.run
        self.resume = resume or resume_from is not None
        self.resume_from = resume_from
        self.folder = RunFolder(Path(job.run.output_dir))
        self.precision = choose_precision(job.run, job.device)
        self._state: RunState | None = None
        self.step = 0
        self.counts = {"unreadable": 0, "unsupervised": 0}
        self._guard = NonFiniteGuard(self.folder.nonfinite, job.run.max_nonfinite, job.group.rank)

    def run(self) -> bool:
        """The whole run: prepare or resume, train (unless `run.evaluate`), measure the test splits.

        Returns whether it came to its end; a signal stops it earlier.
        """
        if self.run_config.evaluate:
            self._measure_all("test", self.run_config.test_splits, Logs([]), limit=None)
            return True
        lock = RunLock(self.folder.path)
        try:
            self._prepare_folder(lock)
            self._make_ready()
            logs = self._open_logs()
            try:
                with naming_dead_workers():
                    stopped = self._train(logs)
                    if not stopped:
                        self._measure_all("test", self.run_config.test_splits, logs, limit=None)
            finally:
                logs.close()
            self._say_goodbye(stopped)
            return not stopped
        finally:
            lock.release()

    # --- before the first step ---

    def _prepare_folder(self, lock: RunLock) -> None:
        """The first rank locks the folder, clears what killed runs left, and looks at the checkpoint to resume."""
        failure: UserError | None = None
        if self.job.group.is_first:
            try:
                self.folder.prepare(resume=self.resume)
                lock.take()
                self.folder.clear()
                self._check_checkpoint()
            except UserError as error:
                failure = error
        self._fail_together(failure, "could not use the output folder")

    def _check_checkpoint(self) -> None:
        """Compare all files of the checkpoint to resume with its checksums; later ones are set aside."""
        checkpoint = self._checkpoint_to_resume()
        if self.resume and self.resume_from is None:
            self.folder.refuse_newer_without_state(checkpoint)
        if checkpoint is None:
            return
        try:
            compare_checksums(checkpoint)
            self._state = read_state(checkpoint)
        except UserError as error:
            raise self._with_the_way_on(error, checkpoint) from error
        for later in self.folder.set_aside_after(checkpoint):
            log.info("set aside: %s", later)

    def _with_the_way_on(self, error: UserError, checkpoint: Path) -> UserError:
        before = self.folder.before(checkpoint)
        fix = (f"continue from the checkpoint before it: --resume-from {int(before.name.rpartition('_')[2])}" if before
               else "there is none before it: start again in another run.output_dir")
        return UserError("train.damaged_checkpoint", where=error.where, what=error.what, fix=fix)

    def _checkpoint_to_resume(self) -> Path | None:
        if self.resume_from is not None:
            return self.folder.of_step(self.resume_from)
        return self.folder.newest() if self.resume else None

    def _make_ready(self) -> None:
        """Weights, optimizer, schedule and place in the data: fresh, resumed, or taken over from the original."""
        job = self.job
        self._data = job.task.data_identities()
        state = self._state_to_resume()
        self._begun_on = job.group.world_size if state is None else state.begun_on
        self._batches_per_step = batches_per_step(self._begun_on, job.group.world_size)
        iterations = self.run_config.iters_per_epoch or job.task.batches_per_epoch(self._begun_on)
        self.timetable = Timetable(self.run_config.max_epoch, iterations, self.run_config.accum_grad_iters)
        if state is not None:
            report = job.bundle.restore(self.folder.checkpoint(state.step))
            job = self.job = dataclasses.replace(job, report=tuple(report) or job.report)
        optimizer = build_optimizer(job.model, self.run_config, job.decay_rule, job.lr_factor)
        self._trained = in_order_of(optimizer, trainable(job.model))
        self._update = Update(optimizer, build_schedule(self.run_config, self.timetable), self.precision.scaler(),
                              self.run_config.clip_grad_norm)
        if state is not None:
            self._restore(state)
        elif job.taken_over is not None:
            self.step = first_step_after(job.taken_over, self.timetable)
            self._update.restore(moments_for(optimizer, job.taken_over), job.taken_over.scaler)
        self._gradient = WindowGradient(job.model, job.task, job.group, self.precision, job.device, job.strategy)

    def _state_to_resume(self) -> RunState | None:
        checkpoint = self._checkpoint_to_resume()
        if checkpoint is None:
            return None
        state = self._state or read_state(checkpoint)
        self._state = None  # it may be as large as the optimizer
        check_settings(state.settings, self.job.settings)
        check_data(state.data, self._data)
        return state

    def _restore(self, state: RunState) -> None:
        self.step = state.step
        optimizer = restored(self.folder.checkpoint(state.step), state.optimizer, self._trained)
        self._update.restore(optimizer, state.scaler)
        group = self.job.group
        self.job.task.ledger.load_state(of_rank(state.ledgers, group.rank, group.world_size))
        self._guard.count = state.counts["nonfinite"]
        self.counts = {name: state.counts[name] for name in self.counts}

    def _open_logs(self) -> Logs:
        if not self.job.group.is_first:
            return Logs([])
        with atomic_file(self.folder.path / "config.yaml") as part:
            part.write_text(self.job.resolved_config, encoding="utf-8")
        return open_logs(self.run_config, self.folder, self.step, self.job.settings)

    # --- the loop ---

    def _train(self, logs: Logs) -> bool:
        """All steps that are left; returns whether a signal ended it early."""
        speaks = self.job.group.is_first
        console = Console(speaks=speaks, every=self.run_config.log_freq, steps=self.timetable.steps, start=self.step)
        data = self.job.task.training_batches(self.timetable.position(self.step), self._begun_on)
        pace = Pace()
        with StopRequest() as stop, console:
            for line in start_report(self.job, self.timetable, self.precision, self.step):
                console.say(line)
            if self.step == 0:
                self._look(logs)
            while self.step < self.timetable.steps:
                record, stopping = self._one_step(data, pace, stop)
                logs.step(record)
                console.step(record)
                if stopping or self._is_due(self.run_config.save_every):
                    self._save()
                if stopping:
                    return True
                if self.job.watch and self._is_due(self.job.watch.every):
                    self._look(logs)
                if self._is_due(self.run_config.valid_every):
                    self._measure_all("valid", self.run_config.valid_splits, logs, self.run_config.valid_samples)
                pace.restart()
        return False

    def _one_step(self, data: Iterator[Batch], pace: Pace, stop: StopRequest) -> tuple[StepRecord, bool]:
        step = self.step
        seed_everything(seed_for(self.run_config.seed, step, self.job.group.rank))
        with pace.waiting():
            window = [next(data) for _ in range(self.timetable.window_of(step) * self._batches_per_step)]
        result = self._compute(window)
        sums = self._exchange(window, result, stop)
        loss = sums.loss_sum / result.total_tokens
        if step == 0 and self.job.vocab_size_to_beat is not None:
            check_first_loss(loss, self.job.vocab_size_to_beat)
        grad_norm = self._apply(step, window, result, sums)
        self.step = step + 1
        self.counts["unreadable"] += int(sums.unreadable)
        self.counts["unsupervised"] += int(sums.unsupervised)
        pace.lap(result.total_tokens, sums.samples)
        return self._record(loss, grad_norm, pace), sums.stop > 0

    def _compute(self, window: list[Batch]) -> WindowResult:
        if not self.job.model.training:  # it was asked something; saying it to all modules takes milliseconds
            self.job.model.train()
        try:
            return self._gradient(window, self._update.scaler)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise out_of_memory(window, self.job.device) from error
            raise

    def _exchange(self, window: list[Batch], result: WindowResult, stop: StopRequest) -> _StepSums:
        return _StepSums(*self.job.group.sum([
            result.loss_sum, len(result.bad_batches), result.samples,
            sum(len(batch.unreadable) for batch in window), sum(len(batch.unsupervised) for batch in window),
            stop.requested,
        ]))

    def _apply(self, step: int, window: list[Batch], result: WindowResult, sums: _StepSums) -> float:
        """The optimizer step, or a counted skip where loss or gradient is not finite; returns the gradient norm."""
        if sums.bad:
            self._update.skip()
            culprit = ""
            with self.job.strategy.unequal(self.job.model):
                if result.bad_batches:
                    bad = result.bad_batches[0].to(self.job.device)
                    culprit = find_culprit(self.job.model, self.job.task, bad, self.precision)
            self._guard.met(step + 1, result.bad_batches, culprit)
            return math.nan
        norm = self._update.apply(self.timetable.at(step))
        if not math.isfinite(norm) and not self._update.scaler.is_enabled():
            self._guard.met(step + 1, window, "in the gradients")
        return norm

    def _record(self, loss: float, grad_norm: float, pace: Pace) -> StepRecord:
        moment = self.timetable.at(self.step - 1)
        return StepRecord(
            step=self.step, steps=self.timetable.steps, epoch=moment.epoch, loss=loss, lr=self._update.lr(moment),
            grad_norm=grad_norm, tokens_per_second=pace.tokens_per_second, samples_per_second=pace.samples_per_second,
            data_wait=pace.data_wait, memory_gib=memory_gib(self.job.device),
            seconds_left=pace.seconds_left(self.timetable.steps - self.step), nonfinite=self._guard.count,
            **self.counts,
        )

    def _is_due(self, every: int | None) -> bool:
        """Every N steps; at the end of an epoch if no number is given; always at the end of the run."""
        if self.step == self.timetable.steps:
            return True
        return self.timetable.ends_epoch(self.step - 1) if every is None else self.step % every == 0

    # --- what is measured and kept ---

    def _measure_all(self, kind: str, splits: list[str], logs: Logs, limit: int | None) -> None:
        for split in splits:
            means = measure_split(self.job, split, self.precision, limit)
            captions = {f"caption of {caption.sample_id}": f"{caption.said} | wanted: {caption.wanted}"
                        for caption in sample_captions(self.job, split)}
            logs.write(kind, self.step, {"split": split, **means, **captions})
            if self.job.group.is_first:
                log.info("%s", f"{split}: " + ", ".join(f"{name} {mean:.4f}" for name, mean in means.items()))
                for name, words in captions.items():
                    log.info("  %s: %s", name, words)
            self.job.group.wait()

    def _look(self, logs: Logs) -> None:
        """Ask what is watched, with the weights of the moment."""
        if self.job.watch is None:
            return
        self.job.model.eval()
        with self.job.strategy.first_alone(self.job.model):
            answers = self.job.watch.answers() if self.job.group.is_first else []
        if not self.job.group.is_first:
            return
        logs.write("watch", self.step, {"answers": [asdict(answer) for answer in answers]})
        log.info("answers after step %d:", self.step)
        for answer in answers:
            log.info("  %s", answer)

    def _save(self) -> None:
        """One checkpoint by the first rank, or by all where each has a part; if one cannot write, all ranks stop."""
        ledgers = self.job.group.gather(self.job.task.ledger.state())
        failure: UserError | None = None
        state = RunState(
            step=self.step, position=self.timetable.position(self.step), ledgers=ledgers,
            counts={**self.counts, "nonfinite": self._guard.count}, data=self._data,
            settings={**self.job.settings, PROCESSES: str(self._begun_on)},
            **self._update.state(),
        )
        keep = self.run_config.keep_checkpoints
        try:
            if self.job.strategy.collective:
                write_together(self.folder, state, self.job.bundle, self.job.group, list(self._trained), keep=keep)
            elif self.job.group.is_first:
                write_checkpoint(self.folder, state, self.job.bundle, keep=keep)
        except UserError as error:
            failure = error
        self._fail_together(failure, "could not write the checkpoint")

    def _fail_together(self, failure: UserError | None, deed: str) -> None:
        """Where one rank fails, mostly the first, which writes files, the others stop too and do not wait for it."""
        failed = self.job.group.any(failure is not None)
        if failure is not None:
            raise failure
        if failed:
            who = "another rank" if self.job.strategy.collective else "rank 0"
            raise UserError("process.first_failed", what=f"{who} {deed}; see its message")

    def _say_goodbye(self, stopped: bool) -> None:
        if not self.job.group.is_first:
            return
        newest = self.folder.newest()
        if stopped:
            log.info("stopped after step %d, saved in %s; continue with the same command and --resume", self.step,
                     newest)
            return
        try:
            draw_curve(self.folder.log, self.folder.path / "loss.png")
        except (UserError, OSError) as error:
            log.warning("%s", f"the loss curve was not drawn: {error}")
        log.info("done: %s; loss curve in %s", newest, self.folder.path / "loss.png")
        consent = " --allow-imports" if self.job.imports else ""
        log.info("chat with it: minigpt4 chat --model %s --image IMAGE%s", newest, consent)
