"""Names as training programs leave them: a prefix before all of them is removed if the rest then fits.

DDP and DeepSpeed put `module.` before every name, torch.compile `_orig_mod.`, Lightning (and anyone who saved the model
that is wrapped in another one) `model.`; also one after the other. A file is read as it is where that fits its plan;
else each prefix that all names have is tried, and the first reading that fits is taken. Nothing is guessed from some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from minigpt4.common.errors import UserError
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.plan import ConversionPlan, Match, PlanOf, Shape, match

PREFIXES = ("module.", "_orig_mod.", "model.")


@dataclass(frozen=True)
class Reading:
    """A file matched with its plan.

    Args:
        file: the tensors, under names without `prefix`.
        plan: what was chosen for it.
        matched: the plan against file and model.
        prefix: what was taken off all names; '' = nothing.
    """

    file: TensorFile
    plan: ConversionPlan
    matched: Match
    prefix: str

    @property
    def notes(self) -> list[str]:
        """Lines of the report."""
        found = [f"  all its names begin with '{self.prefix}', which was taken off"] if self.prefix else []
        return found + [f"  left out: {len(keys)} ({reason})" for reason, keys in self.matched.ignored.items()]


def read_as_it_fits(file: TensorFile, plan_of: PlanOf | ConversionPlan, targets: Mapping[str, Shape]) -> Reading:
    """Hold a file against its plan, without a prefix of its names where it only fits so.

    Args:
        file: the opened file.
        plan_of: a plan, or what chooses it by the file's content.
        targets: `part.key` -> shape of everything that may be filled.

    Raises:
        UserError: no reading fits; what is said is about the file as it is.
    """
    first: UserError | None = None
    for prefix, candidate in _candidates(file):
        try:
            plan = plan_of if isinstance(plan_of, ConversionPlan) else plan_of(candidate)
            return Reading(candidate, plan, match(plan, candidate.shapes, targets, where=str(file.path)), prefix)
        except UserError as error:
            if error.code == "weights.shape":
                raise  # the names fit
            first = first or error
    assert first is not None, "the file as it is comes first"
    raise first


def _candidates(file: TensorFile, prefix: str = "") -> Iterator[tuple[str, TensorFile]]:
    """The file as it is, then without one prefix after the other."""
    yield prefix, file
    for each in PREFIXES:
        if file.names and all(name.startswith(each) and name != each for name in file.names):
            yield from _candidates(file.without_prefix(each), prefix + each)
