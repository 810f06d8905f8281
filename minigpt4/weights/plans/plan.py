"""Conversion plans: which key of a file becomes which tensor of a model, declared and checked both ways.

Every source key is used and every target key made once. What is left over, missing or of another shape is an error that
lists it, unless the plan names it as ignorable with a reason. Targets are named `part.key`
(`vision.model.post_layernorm.weight`), the same names as in bundles.

In keys, `{i}` stands for a block's number and `*` for any rest. `{n}`, in sources alone, stands for all numbers from 0
on that the file has: the experts of a block, stacked into one target. One source may feed several targets: a rule each.
A plan is chosen by the content of a file (`PlanOf`), never by its name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite

import torch
from torch import Tensor

from minigpt4.common.blank_tensors import Extremes, extremes_of
from minigpt4.common.errors import UserError
from minigpt4.weights.files.tensor_file import TensorFile, some_names

Shape = tuple[int, ...]
STACKED = "{n}"
Forward = Callable[[list[Tensor], Shape], Tensor]
"""source tensors of a rule, those of a stack in a row, and the shape of the target -> the target"""
Backward = Callable[[Tensor], list[Tensor]]


def _copy(sources: list[Tensor], shape: Shape) -> Tensor:
    return sources[0]


@dataclass(frozen=True)
class Rule:
    """One target made of one or more sources.

    `backward` gives the sources back from the target (export); `reshapes` says that the shape may differ.
    """

    target: str
    sources: tuple[str, ...]
    forward: Forward = _copy
    backward: Backward = lambda target: [target]
    reshapes: bool = False


@dataclass(frozen=True)
class Ignorable:
    """Source keys that are left out, with the reason; `at_least` ignores only blocks from that number on."""

    pattern: str
    reason: str
    at_least: int = 0


@dataclass(frozen=True)
class ConversionPlan:
    """How a kind of file becomes (a part of) a model.

    Args:
        name: what the report calls the file.
        rules: target <- sources.
        ignorable: source keys that may be left out.
        optional: targets (patterns) that the file may lack, as a checkpoint lacks frozen parts.
        sizes: what the sizes of its tensors mean, for the sentence about shapes that do not fit.
    """

    name: str
    rules: tuple[Rule, ...]
    ignorable: tuple[Ignorable, ...] = ()
    optional: tuple[str, ...] = ()
    sizes: str = ""


PlanOf = Callable[[TensorFile], ConversionPlan]
"""the plan of a file, by its keys and shapes; raises `UserError` for a layout that it does not know"""


@dataclass(frozen=True)
class Assignment:
    """A rule with its numbers filled in."""

    target: str
    sources: tuple[str, ...]
    rule: Rule

    def as_in_file(self, made: Tensor, file: TensorFile) -> Tensor:
        """What fingerprints hash: a source that was made to fit (positions of another size) as the file has it."""
        return file.load(self.sources[0]) if self.rule.reshapes and len(self.sources) == 1 else made


@dataclass
class Match:
    """A plan matched with a file: what is made, and what is left out for which reason."""

    assignments: list[Assignment]
    ignored: dict[str, list[str]] = field(default_factory=dict)


def match(plan: ConversionPlan, source_shapes: Mapping[str, Shape], target_shapes: Mapping[str, Shape],
          *, where: str) -> Match:
    """Hold a plan against the keys of a file and of a model.

    Raises:
        UserError: leftover source keys, targets that are not made, or shapes that do not fit; each list in one
            sentence, all sentences together.
    """
    assignments, used = _assign(plan, source_shapes, target_shapes)
    ignored, leftover = _sort_leftovers(plan, [key for key in source_shapes if key not in used])
    made = {assignment.target for assignment in assignments}
    missing = [target for target in _claimed(plan, target_shapes) if target not in made]
    problems = []
    if leftover:
        problems.append(f"{some_names(leftover)} belong nowhere in this model")
    if missing:
        problems.append(f"nothing in the file for {some_names(missing)}")
    if problems:
        raise UserError(
            "weights.keys", where=where, what=f"is not a {plan.name} of this model: " + "; ".join(problems),
            fix="take the file that belongs to this model, or give its sizes in the YAML",
        )
    _check_shapes(plan, assignments, source_shapes, target_shapes, where)
    return Match(assignments, ignored)


@dataclass(frozen=True)
class Made:
    """A target and its tensor, in the file's dtype."""

    target: str
    tensor: Tensor
    extremes: Extremes | None
    """its smallest and largest value, finite; None for what is no floating-point tensor, or an empty one"""


def convert(matched: Match, file: TensorFile, target_shapes: Mapping[str, Shape]) -> Iterator[Made]:
    """Make the targets one at a time. Raises `UserError` for a tensor of another shape or with nan or inf in it."""
    for assignment in matched.assignments:
        yield _made(assignment, file, target_shapes[assignment.target])  # no name here holds it while the next is read


def _made(assignment: Assignment, file: TensorFile, shape: Shape) -> Made:
    made = assignment.rule.forward([file.load(name) for name in assignment.sources], shape)
    if tuple(made.shape) != shape:
        raise UserError("weights.shape", where=str(file.path), fix="take the file that belongs to this model",
                        what=f"{some_names(assignment.sources, 2)} make {list(made.shape)}, the model needs "
                        f"{list(shape)} for '{assignment.target}'")
    return Made(assignment.target, made, _checked_extremes(made, assignment, file))


def stack(sources: list[Tensor], shape: Shape) -> Tensor:
    """Tensors [...] of one shape, such as a weight of each expert -> [number, ...]."""
    return torch.stack(sources)


def _assign(plan: ConversionPlan, sources: Mapping[str, Shape], targets: Mapping[str, Shape]
            ) -> tuple[list[Assignment], set[str]]:
    assignments: dict[str, Assignment] = {}
    for rule in plan.rules:
        for target, found in _targets_of(rule, targets):
            wanted = [name for source in rule.sources for name in _names_of(fill_key(source, found), sources)]
            if all(name in sources for name in wanted) and target not in assignments:
                assignments[target] = Assignment(target, tuple(wanted), rule)
    return list(assignments.values()), {name for made in assignments.values() for name in made.sources}


def _targets_of(rule: Rule, targets: Mapping[str, Shape]) -> list[tuple[str, re.Match[str]]]:
    pattern = key_pattern(rule.target)
    candidates = targets if _is_pattern(rule.target) else [rule.target] if rule.target in targets else []
    return [(target, found) for target in candidates if (found := pattern.fullmatch(target))]


def _names_of(source: str, sources: Mapping[str, Shape]) -> list[str]:
    """A source key, or those of a stack: 0, 1, … as many as the file has (0 if it has none: it is then missing)."""
    if STACKED not in source:
        return [source]
    names = [source.replace(STACKED, "0")]
    while (following := source.replace(STACKED, str(len(names)))) in sources:
        names.append(following)
    return names


def _is_pattern(key: str) -> bool:
    return "*" in key or "{i}" in key


def _sort_leftovers(plan: ConversionPlan, keys: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    ignored: dict[str, list[str]] = defaultdict(list)
    leftover = []
    for key in keys:
        reason = next((entry.reason for entry in plan.ignorable if _is_ignorable(entry, key)), None)
        if reason is None:
            leftover.append(key)
        else:
            ignored[reason].append(key)
    return dict(ignored), leftover


def _is_ignorable(entry: Ignorable, key: str) -> bool:
    found = key_pattern(entry.pattern).fullmatch(key)
    return found is not None and int(found.groupdict().get("i") or 0) >= entry.at_least


def _claimed(plan: ConversionPlan, targets: Mapping[str, Shape]) -> list[str]:
    """Targets that the plan has to make."""
    claimed = {target for rule in plan.rules for target, _ in _targets_of(rule, targets)}
    optional = [key_pattern(entry) for entry in plan.optional]
    return [target for target in targets if target in claimed and not any(p.fullmatch(target) for p in optional)]


def _check_shapes(plan: ConversionPlan, assignments: list[Assignment], sources: Mapping[str, Shape],
                  targets: Mapping[str, Shape], where: str) -> None:
    wrong = [
        f"'{a.sources[0]}' is {list(sources[a.sources[0]])}, the model needs {list(targets[a.target])}"
        for a in assignments
        if not a.rule.reshapes and len(a.sources) == 1 and sources[a.sources[0]] != targets[a.target]
    ]
    if wrong:
        more = f" ({len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise UserError(
            "weights.shape",
            where=where,
            what="; ".join(wrong[:3]) + more + (f" ({plan.sizes})" if plan.sizes else ""),
            fix="file and model are of different sizes: take the file made for this model, or change the YAML's sizes",
        )


def _checked_extremes(tensor: Tensor, assignment: Assignment, file: TensorFile) -> Extremes | None:
    extremes = extremes_of(tensor)  # one pass; isfinite of the tensor itself takes seven times as long
    if extremes is not None and not all(map(isfinite, extremes)):
        raise UserError(
            "weights.nonfinite", where=str(file.path), what=f"'{assignment.sources[0]}' contains nan or inf",
            fix="the file is damaged; take another copy",
        )
    return extremes


def key_pattern(key: str) -> re.Pattern[str]:
    """'blocks.{i}.*' -> a regular expression; {i} is a number, * (once) is anything."""
    escaped = re.escape(key).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\*", "(?P<rest>.*)")
    return re.compile(escaped)


def fill_key(key: str, found: re.Match[str]) -> str:
    """The key with the number and rest that a pattern found."""
    groups = found.groupdict()
    return key.replace("{i}", groups.get("i") or "").replace("*", groups.get("rest") or "")
