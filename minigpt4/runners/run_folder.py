"""The run folder: what is where in `run.output_dir`, and which checkpoint is the newest.

    output_dir/
      config.yaml               the resolved config: running it repeats the run
      log.jsonl, tensorboard/   one line per step, one per validation
      checkpoint_00000120/      a complete bundle and `state.pt`; there only if complete
      last                      a text file with the name of the newest checkpoint (no link: Windows)
      run.lock                  who works here
      nonfinite/, loss.png, set_aside/
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, clear_litter

STATE_FILE = "state.pt"
SET_ASIDE = "set_aside"
_CHECKPOINT = re.compile(r"checkpoint_(\d+)")


@dataclass(frozen=True)
class RunFolder:
    """Paths and housekeeping of one run."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def nonfinite(self) -> Path:
        return self.path / "nonfinite"

    def checkpoint(self, step: int) -> Path:
        """The folder of a checkpoint after `step` optimizer steps."""
        return self.path / f"checkpoint_{step:08d}"

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first. Their folders appear atomically, so those that exist are complete."""
        return [folder for folder in self._folders() if (folder / STATE_FILE).exists()]

    def _folders(self) -> list[Path]:
        """Every folder that is called a checkpoint, oldest first."""
        found = [(int(match[1]), folder) for folder in self.path.glob("checkpoint_*")
                 if (match := _CHECKPOINT.fullmatch(folder.name))]
        return [folder for _, folder in sorted(found)]

    def refuse_newer_without_state(self, checkpoint: Path | None) -> None:
        """Raise `UserError` if a checkpoint after this one has lost its state: then this one is not the newest."""
        after = [folder for folder in self._folders() if checkpoint is None or folder.name > checkpoint.name]
        if after:
            raise UserError("train.damaged_checkpoint", where=str(after[-1]), what=f"has no {STATE_FILE}",
                            fix=f"continue from the checkpoint before it: --resume-from {_step_of(checkpoint)}"
                            if checkpoint else "there is none before it: start again in another run.output_dir")

    def newest(self) -> Path | None:
        """The newest complete checkpoint."""
        return next(reversed(self.checkpoints()), None)

    def before(self, checkpoint: Path) -> Path | None:
        """The checkpoint before one."""
        earlier = [folder for folder in self.checkpoints() if folder.name < checkpoint.name]
        return earlier[-1] if earlier else None

    def of_step(self, step: int) -> Path:
        """The checkpoint after a step. Raises `UserError` naming those that are there."""
        place = self.checkpoint(step)
        if place not in self.checkpoints():
            there = ", ".join(str(_step_of(folder)) for folder in self.checkpoints())
            raise UserError("train.no_checkpoint", where=f"--resume-from {step}",
                            what=f"{self.path} has no checkpoint after this step",
                            fix=f"there are: {there}" if there else "start without --resume-from")
        return place

    def set_aside_after(self, checkpoint: Path) -> list[Path]:
        """Move later checkpoints into `set_aside`, so that none of them is taken for the newest; returns them."""
        later = [folder for folder in self._folders() if folder.name > checkpoint.name]
        for folder in later:
            target = self.path / SET_ASIDE / folder.name
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(exist_ok=True)
            folder.rename(target)
        return later

    def point_at(self, checkpoint: Path) -> None:
        """Write its name into `last`, for people and for commands that take a run folder as a bundle."""
        with atomic_file(self.path / "last") as part:
            part.write_text(checkpoint.name + "\n", encoding="utf-8")

    def keep(self, number: int) -> None:
        """Remove all but the newest checkpoints."""
        for folder in self.checkpoints()[:-number]:
            shutil.rmtree(folder)

    def check(self, *, resume: bool) -> None:
        """Raises `UserError` if the folder is not empty and resuming was not requested."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError("train.output_dir", where=str(self.path), what="is a file, not a folder",
                            fix="choose another run.output_dir")
        if not resume and self.path.exists() and any(self.path.iterdir()):
            raise UserError("train.output_dir", where=str(self.path), what="the output folder is not empty",
                            fix="continue with --resume, or choose another run.output_dir")

    def prepare(self, *, resume: bool) -> None:
        """Check and make the folder. Raises `UserError` if it must not or cannot be used."""
        self.check(resume=resume)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError("train.output_dir", where=str(self.path), what=f"cannot be created ({error.strerror})",
                            fix="choose another run.output_dir") from error

    def clear(self) -> None:
        """Remove what killed runs left half-written; only who holds the lock may."""
        clear_litter(self.path)
        if self.nonfinite.is_dir():
            clear_litter(self.nonfinite)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("_")[2])
