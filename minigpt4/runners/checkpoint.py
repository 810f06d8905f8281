"""Full checkpoints: a complete bundle, and beside it what a run needs to continue as if it had never stopped.

`state.pt` holds optimizer (of sharded parameters the most is in `optimizer/`), loss scale, the step (from it follow
schedule, data position and every random number, see
`common/seeds.py`), the ledger's counts and the settings that must be the same on resume. It loads with
`weights_only=True`.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError

from minigpt4.common.config.paths import portable
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import ProcessGroup
from minigpt4.datasets.ledger import LedgerState
from minigpt4.runners.parallel.optimizer_state import write_shards
from minigpt4.runners.run_folder import STATE_FILE, RunFolder
from minigpt4.weights.bundles.seal import atomic_bundle

PROCESSES = "processes"
"""the setting that says on how many ranks a run was begun; more or fewer may go on with it"""


class BundleKeeper(Protocol):
    """Writes the model's bundle and takes trained weights back from one."""

    def save(self, folder: Path, step: int) -> None: ...

    def take_part(self) -> None:
        """What the other ranks do while the first saves, where each holds a part of the weights."""

    def restore(self, folder: Path) -> list[str]:
        """Lines for the report of the start, in place of what the job says of its parts; none = those stay."""


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Everything of a run that is not a weight."""

    step: int
    """optimizer steps done"""
    position: int
    """micro-batches done: the state of the data"""
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    ledgers: list[LedgerState]
    """counts of samples read and lost, one of each rank"""
    counts: dict[str, int]
    """what the log counts since the beginning: unreadable, unsupervised, nonfinite"""
    settings: dict[str, str]
    """settings that make the run what it is, flat"""
    data: dict[str, str] = field(default_factory=dict)
    """training data set -> what it is; empty in checkpoints of earlier versions"""

    @property
    def begun_on(self) -> int:
        """Ranks that the run was begun on, whose steps its steps are."""
        return int(self.settings.get(PROCESSES, len(self.ledgers)))


def write_checkpoint(folder: RunFolder, state: RunState, bundle: BundleKeeper, *, keep: int) -> Path:
    """Write `checkpoint_<step>` whole or not at all, point `last` at it, remove the oldest.

    Raises `UserError` (code `file.write`) where the disk is full; earlier checkpoints are untouched.
    """
    place = folder.checkpoint(state.step)
    with atomic_bundle(place) as part:
        _write(part, state, bundle)
    folder.point_at(place)
    folder.keep(keep)
    return place


def write_together(folder: RunFolder, state: RunState, bundle: BundleKeeper, group: ProcessGroup, names: Sequence[str],
                   *, keep: int) -> None:
    """The same by all ranks, each of which holds a part of the weights and of the optimizer's state.

    The first rank writes the bundle, one gathered tensor after the other, and each rank its rows of the optimizer.

    Args:
        names: of the optimizer's parameters, in its order.

    Raises:
        UserError: a rank cannot write, or does not see the folder.
    """
    place = folder.checkpoint(state.step)
    if not group.is_first:
        part: str = group.gather("")[0]
        if part:
            _check_seen_by_all(Path(part), group)
            write_shards(Path(part), state.optimizer, names)
            bundle.take_part()
        return
    with ExitStack() as stack:
        try:
            made = stack.enter_context(atomic_bundle(place))
        except UserError:
            group.gather("")
            raise
        group.gather(str(made.resolve()))
        _check_seen_by_all(made, group)
        _write(made, replace(state, optimizer=write_shards(made, state.optimizer, names)), bundle)
    folder.point_at(place)
    folder.keep(keep)


def _check_seen_by_all(part: Path, group: ProcessGroup) -> None:
    blind = [str(rank) for rank, sees in enumerate(group.gather(part.is_dir())) if not sees]
    if blind:
        raise UserError("train.output_dir", where=str(part.parent), what=f"is not seen by rank {', '.join(blind)}",
                        fix="put run.output_dir on a file system that all machines share")


def _write(part: Path, state: RunState, bundle: BundleKeeper) -> None:
    try:
        bundle.save(part, state.step)
        torch.save({field.name: getattr(state, field.name) for field in fields(state)}, part / STATE_FILE)
    except (RuntimeError, SafetensorError) as error:
        if not _is_failed_write(error):
            raise
        raise OSError(str(error).splitlines()[0]) from error


def _is_failed_write(error: BaseException) -> bool:
    """How the file writers of safetensors and torch say 'disk full': neither raises an OSError."""
    return isinstance(error, SafetensorError) or "PytorchStreamWriter" in str(error) or "inline_container" in str(error)


def read_state(checkpoint: Path) -> RunState:
    """The state of a checkpoint. Raises `UserError` if the file is damaged, of another shape or of another step."""
    path = checkpoint / STATE_FILE
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError,
            pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _damaged(path, f"cannot be read ({reason})") from error
    wrong = _wrong_fields(content)
    if wrong:
        raise _damaged(path, f"is not the state of a run: {wrong}")
    state = RunState(**content)
    if checkpoint.name != f"checkpoint_{state.step:08d}":
        raise _damaged(path, f"is the state after step {state.step}, not that of {checkpoint.name}")
    return state


def _damaged(path: Path, what: str) -> UserError:
    return UserError("train.damaged_checkpoint", where=str(path), what=what)


def _wrong_fields(content: object) -> str:
    """What is wrong with the content of a state file, in words; '' if nothing is."""
    known = {each.name: each.default_factory is not MISSING for each in fields(RunState)}
    if not isinstance(content, dict):
        return f"it is a {type(content).__name__}"
    if unknown := sorted(str(name) for name in content if name not in known):
        return f"it has {', '.join(unknown[:3])}"
    if missing := [name for name, optional in known.items() if not optional and name not in content]:
        return f"it lacks {', '.join(missing)}"
    wrong = [name for name, value in content.items() if not _FITS[name](value)]
    return f"{', '.join(wrong)} is of another kind" if wrong else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _are_counts(value: object, names: Collection[str]) -> bool:
    return isinstance(value, dict) and set(names) <= value.keys() and all(_is_count(each) for each in value.values())


def _are_settings(value: object) -> bool:
    return isinstance(value, dict) and _are_texts(value) and bool(
        re.fullmatch("[1-9][0-9]{0,5}", value.get(PROCESSES, "1")))


def _are_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) and isinstance(text, str)
                                           for key, text in value.items())


def _is_optimizer(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("state"), dict) and isinstance(
        value.get("param_groups"), list)


_FITS: Mapping[str, Callable[[object], bool]] = {
    "step": _is_count, "position": _is_count, "optimizer": _is_optimizer, "settings": _are_settings, "data": _are_texts,
    "scaler": lambda value: isinstance(value, dict),
    "ledgers": lambda value: isinstance(value, list) and all(_are_counts(each, LedgerState.__annotations__)
                                                            for each in value),
    "counts": lambda value: _are_counts(value, ("unreadable", "unsupervised", "nonfinite")),
}
"""what each field of a state file must be"""


def check_data(saved: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises `UserError` naming every data set that is not the one the checkpoint was trained on."""
    changed = [f"{name.partition(': ')[2]} had {words}, has {now.get(name, 'nothing')}"
               for name, words in saved.items() if now.get(name) != words]
    if changed:
        raise UserError("train.resume_data", what="cannot resume, the training data changed: " + "; ".join(changed),
                        fix="put the same files back, or start a new run in another run.output_dir from the bundle")


def check_settings(saved: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises `UserError` naming every setting that differs: the run would no longer be the same run."""
    absent = "not set"
    saved = {**{key: LATER_KEYS[leaf] for key in now if (leaf := key.rpartition(".")[2]) in LATER_KEYS}, **saved}
    saved = {key: portable(value) for key, value in saved.items()}  # checkpoints of earlier versions have whole paths
    changed = [f"{key} was {saved.get(key, absent)}, is {now.get(key, absent)}"
               for key in sorted({*saved, *now} - {PROCESSES}) if saved.get(key) != now.get(key)]
    if changed:
        raise UserError("train.resume_changed", what="cannot resume, settings changed: " + "; ".join(changed),
                        fix="put them back, or start a new run in another run.output_dir from the bundle")


FREE_KEYS = frozenset({
    "output_dir", "resume_ckpt_path", "num_workers", "num_threads", "device", "save_every", "keep_checkpoints",
    "log_freq", "wandb_log", "job_name", "valid_splits", "valid_every", "valid_samples", "valid_captions",
    "shard_bytes", "test_splits", "evaluate", "batch_size_eval", "max_unreadable", "max_nonfinite", "process_timeout",
    "knows", "watch", "feature_store", "feature_fill", "prefetch", "parallel", "fsdp",
})
"""run keys that may change between a checkpoint and its resume: they do not change what is learned"""


LATER_KEYS = {"train_only": "[]", "lr_factor": "1.0", "router_loss": "0.0", "feature_dtype": "None",
              "image_method": "pillow", "max_tokens": "None", "tf32": "False"}
"""keys that checkpoints of older versions do not have, with the value that stands for what those versions did"""


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and their values in words."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: str(value)}
    return flat
