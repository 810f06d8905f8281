"""Jinja text of anyone, rendered within bounds: nothing is reached, nothing grows without end, no loop takes for ever.

jinja2's sandbox keeps a text from attributes that could act. Here its loops are counted too, and what one operator,
filter or call may make is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import Template as JinjaText
from jinja2 import TemplateError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_CHARACTERS = 4_000_000
"""of a rendered conversation"""
MAX_STEPS = 100_000
"""turns of all loops of one rendering"""
MAX_VALUE = 1_000_000
"""characters or items of a value on the way"""
MAX_NUMBER = 10_000
"""of a width, a count or a range"""
EACH, JOINED = "_each", "_joined"
"""filters that loops and `~` are compiled to; no text can name them otherwise: a `{{ x|_each }}` only counts"""


class Steps:
    """What is left of a rendering's loops."""

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def reset(self) -> None:
        self.left = MAX_STEPS

    def each(self, items: Iterable[object]) -> Iterator[object]:
        for item in items:
            self.left -= 1
            if self.left < 0:
                raise TemplateError(f"its loops take more than {MAX_STEPS:,} turns")
            yield item


class BoundedSandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with bounds; `steps` counts the loops of the rendering at hand."""

    intercepted_binops = frozenset(("*", "**", "%", "+"))

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.steps = Steps()
        self.filters = {name: _bounded(made) for name, made in self.filters.items()}
        self.filters |= {EACH: self.steps.each, JOINED: _joined}
        self.globals["range"] = _short_range

    def from_text(self, source: str) -> JinjaText:
        """A template whose loops are counted. Raises what jinja raises for wrong syntax."""
        tree = self.parse(source)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, EACH, [], [], None, None)
        for concat in list(tree.find_all(nodes.Concat)):
            concat.nodes = [nodes.Filter(nodes.List(concat.nodes), JOINED, [], [], None, None)]
        code = self.compile(tree)
        return self.template_class.from_code(self, code, self.make_globals(None))

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> Any:
        sized = [each for each in (left, right) if isinstance(each, str | list | tuple)]
        numbers = [each for each in (left, right) if isinstance(each, int)]
        grows = operator == "*" and sized and numbers and len(sized[0]) * numbers[0] > MAX_VALUE
        grows = grows or (operator == "+" and sum(map(len, sized)) > MAX_VALUE)
        if grows or (operator == "**" and max(map(abs, numbers), default=0) > 64) or (operator == "%" and sized):
            raise TemplateError(f"the operator {operator} is not used on these values here")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, called: object, *arguments: object, **named: object) -> Any:
        _refuse_large(*arguments, *named.values())
        return _small(super().call(context, called, *arguments, **named))


def _short_range(*bounds: int) -> range:
    made = range(*bounds)
    if len(made) > MAX_NUMBER:
        raise TemplateError(f"a range of {len(made):,} numbers is too long")
    return made


def _joined(values: list[object]) -> str:
    return str(_small("".join(map(str, values))))


def _bounded(made: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that takes no large numbers and makes no large values; what jinja notes on it is kept."""
    def filtered(*arguments: object, **named: object) -> Any:
        _refuse_large(*arguments[1:], *named.values())
        return _small(made(*arguments, **named))

    filtered.__dict__.update(getattr(made, "__dict__", {}))
    return filtered


def _refuse_large(*values: object) -> None:
    if any(isinstance(value, int) and abs(value) > MAX_NUMBER for value in values):
        raise TemplateError(f"a number above {MAX_NUMBER:,} is not used here")


def _small(value: object) -> object:
    if isinstance(value, str | list | tuple | dict) and len(value) > MAX_VALUE:
        raise TemplateError(f"a value of {len(value):,} characters or items is too large")
    return value
