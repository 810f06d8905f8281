"""What is written leads somewhere: no reference to a document outside the repository, every reference inside it
found.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

READ = ("minigpt4", "tests", "benchmarks", "docs", "dataset", "train_configs", "eval_configs", "README.md",
        "README_zh.md", "train.py", "demo.py", "Makefile")
ENDINGS = {".py", ".md", ".yaml", ".yml", ""}

ELSEWHERE = {
    "a section of notes": re.compile(r"\bfacts(/\w|\s+§)|§\s*\d"),
    "a page of notes": re.compile(r"\b(users|house|house-style|dependencies|embedded_default|performance_\w+)\.md\b"),
    "a tag of notes": re.compile(r"\((?:\w+ )?U\d+\b"),
    "the description of a recording": re.compile(r"\boracles?/[\w/]*README"),
    "a folder outside the checkout": re.compile(r"\.\./shared"),
}
REFERENCE = re.compile(r"\b(docs/[\w/]+\.md)(?:#([\w-]+))?")


def written(project: Path) -> list[Path]:
    """Every text file under version control that a reader meets, and those not yet added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *READ]
    names = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout.splitlines()
    found = (project / name for name in sorted(set(names)))
    return [path for path in found if path.suffix in ENDINGS and path.is_file() and path != Path(__file__).resolve()]


def references_elsewhere(text: str) -> list[str]:
    return [f"{kind}: {match[0]}" for kind, pattern in ELSEWHERE.items() for match in pattern.finditer(text)]


def anchors(page: Path) -> set[str]:
    """Explicit anchors, and those that GitHub makes of headings."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([\w-]+)">', text))


def test_nothing_refers_to_documents_that_the_repository_does_not_hold(project: Path) -> None:
    files = written(project)
    assert len(files) > 300
    found = [f"{path.relative_to(project)}: {reference}" for path in files
             for reference in references_elsewhere(path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", [
    "Source: facts/minigpt4.md", "as they did (facts §3.4)", "see §7.2", "tensor by tensor (U5).", "(users.md U11)",
    "tolerances of oracles/minigpt4/README.md", "storage: ../shared/data",
])
def test_such_references_are_seen(text: str) -> None:
    assert references_elsewhere(text)


def test_pages_and_anchors_that_are_named_exist(project: Path) -> None:
    lost, seen = [], 0
    for path in written(project):
        for page, anchor in REFERENCE.findall(path.read_text(encoding="utf-8")):
            seen += 1
            if not (project / page).is_file() or (anchor and anchor not in anchors(project / page)):
                lost.append(f"{path.relative_to(project)}: {page}#{anchor}")
    assert seen > 40
    assert not lost, "\n".join(lost)


def test_anchors_of_a_page_are_met_and_unique(project: Path) -> None:
    page = project / "docs" / "originals" / "minigpt4.md"
    text = page.read_text(encoding="utf-8")
    made = re.findall(r'<a id="([\w-]+)">', text)
    assert len(made) == len(set(made)) > 40
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= set(made)
