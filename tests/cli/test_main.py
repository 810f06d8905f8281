"""The door: commands found by file, mistakes in one sentence, examples that parse."""

from __future__ import annotations

import shlex
import sys
import types

import pytest

from minigpt4.cli import main as door


def test_an_unknown_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["cofigs"]) == 2
    assert capsys.readouterr().err == "minigpt4: unknown command 'cofigs'; did you mean 'configs'?\n"


def test_a_mistake_is_one_sentence_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["demo", "--cfg-path", "x.yaml", "--model", "output/mine"]) == 2
    assert capsys.readouterr().err == "minigpt4 demo: --model and --cfg-path were both given; give one of them\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = types.ModuleType("broken")
    broken.HELP, broken.EXAMPLES, broken.add_arguments = "", (), lambda parser: None
    broken.run = lambda arguments: 1 / 0
    monkeypatch.setattr(door, "_command", lambda name: broken)
    with pytest.raises(ZeroDivisionError):
        door.main(["broken"])


def test_an_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(door, "_run", interrupted)
    assert door.main([]) == 130


def test_the_overview_lists_every_command_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in door.commands():
        assert f"  {name:<10} {door._command(name).HELP}" in shown


def test_the_overview_imports_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in door.commands():
        monkeypatch.delitem(sys.modules, f"minigpt4.cli.{name}", raising=False)
    door.main(["--help"])
    assert not [name for name in door.commands() if f"minigpt4.cli.{name}" in sys.modules]


@pytest.mark.parametrize("name", door.commands())
def test_every_help_ends_with_two_examples_that_parse(name: str) -> None:
    command = door._command(name)
    parser = door.parser_of(name, command)
    assert len(command.EXAMPLES) == 2
    assert parser.format_help().rstrip().endswith(command.EXAMPLES[-1])
    for example in command.EXAMPLES:
        program, *words = shlex.split(example)
        if program == "minigpt4":
            assert words[0] == name
            parser.parse_args(words[1:])
        else:
            assert program in ("torchrun", "python"), f"how is '{example}' run?"
