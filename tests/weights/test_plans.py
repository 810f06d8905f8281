"""The engine of conversion plans on toys: layouts told apart by keys, one source for several targets, stacks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.loading import load_file
from minigpt4.weights.plans.plan import ConversionPlan, Ignorable, Rule, Shape, stack


class Experts(nn.Module):
    """Two blocks of stacked experts [experts, 3, 2], and a query, key and value apart."""

    def __init__(self, experts: int = 11) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.ParameterDict({"experts": torch.zeros(experts, 3, 2)}) for _ in range(2))
        self.query, self.key, self.value = (nn.Linear(2, 2, bias=False) for _ in range(3))


def opened(tensors: dict[str, Tensor]) -> TensorFile:
    return TensorFile(Path("toy"), {name: tuple(value.shape) for name, value in tensors.items()},
                      {name: value.dtype for name, value in tensors.items()}, tensors.__getitem__)


def third(number: int) -> Rule:
    """A rule that cuts its part out of a fused tensor."""
    name = ("query", "key", "value")[number]

    def cut(sources: list[Tensor], shape: Shape) -> Tensor:
        return sources[0].chunk(3)[number]

    return Rule(f"toy.{name}.weight", ("qkv",), cut, reshapes=True)


FUSED = ConversionPlan("fused toy", (*map(third, range(3)), Rule("toy.blocks.{i}.experts", ("b.{i}.e.{n}.w",), stack)))
APART = ConversionPlan("toy of parts", (Rule("toy.*.weight", ("*",)), Rule("toy.blocks.{i}.experts", ("stack.{i}",))))


def plan(file: TensorFile) -> ConversionPlan:
    """Told apart by keys alone."""
    return FUSED if "qkv" in file.shapes else APART


def fused_file(experts: int = 11) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    tensors = {f"b.{block}.e.{n}.w": torch.randn(3, 2, generator=draw) for n in range(experts) for block in range(2)}
    return {**dict(reversed(tensors.items())), "qkv": torch.randn(6, 2, generator=draw)}


def test_one_source_for_several_targets_and_stacks_in_the_order_of_numbers() -> None:
    tensors, toy = fused_file(), Experts()
    origins, _ = load_file(plan, opened(tensors), {"toy": toy})
    assert torch.equal(torch.cat([toy.query.weight, toy.key.weight, toy.value.weight]), tensors["qkv"])
    for block in range(2):
        expected = torch.stack([tensors[f"b.{block}.e.{n}.w"] for n in range(11)])
        assert torch.equal(toy.blocks[block]["experts"], expected)
    assert origins["toy"].num_tensors == 5


def test_another_layout_of_the_same_part() -> None:
    made = Experts()
    load_file(plan, opened(fused_file()), {"toy": made})
    apart = {"query": made.query.weight.data, "key": made.key.weight.data, "value": made.value.weight.data,
             "stack.0": made.blocks[0]["experts"].data, "stack.1": made.blocks[1]["experts"].data}
    toy = Experts()
    load_file(plan, opened(apart), {"toy": toy})
    assert all(torch.equal(value, toy.state_dict()[name]) for name, value in made.state_dict().items())


@pytest.mark.parametrize(("lost", "sentence"), [
    ("b.1.e.10.w", r"make \[10, 3, 2\], the model needs \[11, 3, 2\] for 'toy.blocks.1.experts'"),
    ("b.0.e.4.w", r"'b.0.e.10.w'.* and 1 more belong nowhere in this model"),
    ("b.0.e.0.w", r"nothing in the file for 'toy.blocks.0.experts'"),
])
def test_a_stack_with_a_hole_is_refused(lost: str, sentence: str) -> None:
    tensors = fused_file()
    del tensors[lost]
    with pytest.raises(UserError, match=sentence):
        load_file(plan, opened(tensors), {"toy": Experts()})


def test_what_is_said_is_about_the_file_as_it_is() -> None:
    """Prefixes are tried, and left where the rest does not fit either."""
    tensors = {f"module.{name}": value for name, value in fused_file().items()} | {"module.extra": torch.ones(1)}
    with pytest.raises(UserError, match="'module.extra'|'module.b"):
        load_file(plan, opened(tensors), {"toy": Experts()})
    toy = Experts()
    ignoring = ConversionPlan(FUSED.name, FUSED.rules, (Ignorable("extra", "of no use"),))
    _, lines = load_file(ignoring, opened(tensors), {"toy": toy})
    assert lines[1:] == ["  all its names begin with 'module.', which was taken off", "  left out: 1 (of no use)"]
