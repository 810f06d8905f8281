"""The architecture holds: which package imports which, what starts without torch, what the package lists promise."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

PACKAGE = Path(__file__).resolve().parent.parent / "minigpt4"

BELOW = {"common": set(), "records": {"common"}}
BELOW["processors"] = BELOW["conversation"] = BELOW["metrics"] = BELOW["models"] = {"records", "common"}
BELOW["weights"] = {"models", "records", "common"}
BELOW["datasets"] = {"processors", "conversation", "records", "common"}
BELOW["systems"] = {"weights", "models", "processors", "conversation", "records", "common"}
BELOW["assembly"] = {"systems", *BELOW["systems"]}
BELOW["generation"] = {"assembly", *BELOW["assembly"]}
BELOW["tasks"] = {"generation", *BELOW["generation"], "datasets", *BELOW["datasets"], "metrics"}
BELOW["inference"] = {"generation", *BELOW["generation"], "metrics"}
BELOW["evaluation"] = {"tasks", *BELOW["tasks"], "inference"}
BELOW["runners"] = {"evaluation", *BELOW["evaluation"]}
BELOW["curation"] = {"inference", *BELOW["inference"]}
BELOW["ecosystem"] = {"inference", *BELOW["inference"]}
BELOW["serve"] = {"inference", *BELOW["inference"]}
BELOW["scenes"] = set(BELOW)
BELOW["cli"] = set(BELOW)
"""the table of docs/architecture.md: package -> the packages it may import"""

FILES = sorted(PACKAGE.rglob("*.py"))
MAX_FILE, MAX_FUNCTION = 600, 80


def _name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def _imports(file: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import of ours, those in functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.startswith("minigpt4"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(file)}:{node.lineno}: imports are written in full"
            module = node.module or ""
            if module == "minigpt4":
                yield from ((node.lineno, f"minigpt4.{alias.name}") for alias in node.names)
            elif module.startswith("minigpt4."):
                yield node.lineno, module


def _package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _wrong_imports(file: Path) -> list[str]:
    package = file.relative_to(PACKAGE).parts[0]
    if package in ("__init__.py", "__main__.py"):
        return []
    wrong = []
    for line, module in _imports(file):
        target = _package_of(module)
        if target in BELOW and target != package and target not in BELOW[package]:
            wrong.append(f"{_name(file)}:{line}: {package} may not import {module}")
    return wrong


def test_every_folder_is_in_the_table() -> None:
    folders = {folder.name for folder in PACKAGE.iterdir() if folder.is_dir() and any(folder.rglob("*.py"))}
    assert folders <= set(BELOW)


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_packages_import_only_downward(file: Path) -> None:
    assert _wrong_imports(file) == []


def test_a_wrong_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "nosy.py"
    file.write_text("def f():\n    from minigpt4.datasets import config\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert _wrong_imports(file) == ["models/nosy.py:2: models may not import minigpt4.datasets"]


def _system_of(module: str) -> str | None:
    """'minigpt4' of `minigpt4.systems.minigpt4.config`; None for what all systems share."""
    names = module.split(".")
    folder = PACKAGE / "systems" / names[2] if names[:2] == ["minigpt4", "systems"] and len(names) > 2 else None
    return names[2] if folder and folder.is_dir() else None


def _imports_of_systems(file: Path) -> list[str]:
    """Imports of a system from anywhere but its own folder."""
    parts = file.relative_to(PACKAGE).parts
    own = parts[1] if parts[0] == "systems" and len(parts) > 2 else None
    return [f"{_name(file)}:{line}: imports {module}" for line, module in _imports(file)
            if _system_of(module) not in (None, own)]


def test_nothing_imports_a_system_but_itself() -> None:
    """Systems are found by name, so the next one touches nothing of ours."""
    assert [line for file in FILES for line in _imports_of_systems(file)] == []


def test_an_import_of_a_system_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for system in ("first", "second"):
        (tmp_path / "systems" / system).mkdir(parents=True)
    file = tmp_path / "systems" / "first" / "nosy.py"
    file.write_text("import minigpt4.systems.second.config\nimport minigpt4.systems.first.config\n"
                    "from minigpt4.systems.contract import System\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert _imports_of_systems(file) == ["systems/first/nosy.py:1: imports minigpt4.systems.second.config"]


def _arguments_of_type_any(file: Path) -> list[str]:
    """Arguments whose annotation says nothing."""
    functions = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                 if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    every = [(each, argument) for each in functions for argument in (
        *each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs, each.args.vararg, each.args.kwarg)]
    return [f"{_name(file)}:{argument.lineno}: {each.name}({argument.arg})" for each, argument in every
            if argument and argument.annotation and ast.unparse(argument.annotation) in ("Any", "Any | None")]


def test_arguments_of_type_any_are_few() -> None:
    """Most of those that are left are passed on to transformers."""
    found = [line for file in FILES for line in _arguments_of_type_any(file)]
    assert len(found) < 40, found
    assert [line for line in found if line.startswith(("assembly/", "systems/"))] == []


def test_the_page_has_a_row_and_a_place_in_the_drawing_for_every_package(project: Path) -> None:
    page = (project / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = page.partition("```mermaid")[2].partition("```")[0]
    for package in BELOW:
        assert f"| `{package}` |" in page, package
        assert re.search(rf"^ +{package}$", drawing, re.MULTILINE), package
    drawn = re.findall(r"^    ([\w &]+) --> ([\w &]+)$", drawing, re.MULTILINE)
    assert drawn
    for above, below in ((a, b) for left, right in drawn for a in left.split(" & ") for b in right.split(" & ")):
        assert below in BELOW[above], f"the drawing has an arrow from {above} to {below}"


def test_no_circular_imports_between_packages() -> None:
    assert all(package not in BELOW[other] for package in BELOW for other in BELOW[package])


@pytest.mark.parametrize("file", [file for file in FILES if file.name == "__init__.py"], ids=_name)
def test_init_files_only_hand_names_on(file: Path) -> None:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_lazy = isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__")
        is_name = isinstance(node, ast.Assign | ast.Import | ast.ImportFrom)
        is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        assert is_text or is_lazy or is_name or is_typing, f"{_name(file)}:{node.lineno}: belongs into its own file"


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_files_and_functions_can_be_read_at_a_sitting(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= MAX_FILE
    assert file.name == "__init__.py" or ast.get_docstring(tree), "a module says what it is for"
    long = [
        f"{_name(file)}:{node.lineno}: {node.name} has {(node.end_lineno or node.lineno) - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION
    ]
    assert long == []


def test_package_and_help_start_without_torch() -> None:
    script = (
        "import sys, minigpt4\n"
        "from minigpt4.cli.main import _command, commands, main, parser_of\n"
        "main(['--help'])\n"
        "for name in commands(): print(parser_of(name, _command(name)).format_help())\n"
        "print('HEAVY', sorted({'torch', 'transformers', 'gradio', 'PIL'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


# --- lists of packages ---


def _project(project: Path) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _pins(project: Path) -> dict[str, str]:
    lines = (project / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([\w.-]+)==(\S+)", line) for line in lines if line and not line.startswith("#")]
    assert all(found), "every line of constraints.txt is a comment or NAME==VERSION"
    return {match.group(1).lower(): match.group(2) for match in found if match}


def test_every_dependency_is_pinned_within_its_range(project: Path) -> None:
    described, pins = _project(project), _pins(project)
    extras = [line for lines in described["optional-dependencies"].values() for line in lines]
    for line in [*described["dependencies"], *extras]:
        wanted = Requirement(line)
        if wanted.name != "minigpt4":
            assert wanted.name.lower() in pins, f"{wanted.name} has no pin in constraints.txt"
            assert wanted.specifier.contains(pins[wanted.name.lower()]), line


def test_what_breaks_an_environment_stays_out(project: Path) -> None:
    """torchvision's presence breaks transformers, timm drags it in."""
    described = _project(project)
    lines = [*described["dependencies"], *(x for extra in described["optional-dependencies"].values() for x in extra)]
    named = {Requirement(line).name.lower() for line in lines} | set(_pins(project))
    assert not named & {"torchvision", "timm", "salesforce-lavis", "hqq", "vllm", "img2dataset"}
    assert _pins(project)["torch"] == "2.13.0"


def test_the_conda_environment_takes_the_same_pins(project: Path) -> None:
    """One truth about versions; conda brings Python only."""
    environment = yaml.safe_load((project / "environment.yml").read_text(encoding="utf-8"))
    pip_lines = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip_lines[0] == "-c constraints.txt"
    assert all(line.startswith(("-c ", "-e .")) for line in pip_lines)
    python = next(entry for entry in environment["dependencies"] if str(entry).startswith("python="))
    wanted = Requirement(f"python{_project(project)['requires-python']}")
    assert wanted.specifier.contains(python.removeprefix("python="))


@pytest.mark.slow
def test_a_wheel_carries_yamls_and_prompts(project: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(project)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    packaged = {str(file.relative_to(project)) for file in (project / "minigpt4" / "configs").rglob("*.yaml")}
    shipped = {
        f"minigpt4/configs/shipped/{file.relative_to(project)}"
        for folder in ("train_configs", "eval_configs", "prompts", "docs/schema")
        for file in (project / folder).rglob("*") if file.is_file()
    }
    assert packaged | shipped <= names
    assert not any(name.startswith("tests/") for name in names)
