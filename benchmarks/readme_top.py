"""The top of the READMEs: what the first hour costs, the first answers, and the repository's address.

Written into the pages by `python benchmarks/readme.py`. The address is the `repository-code` of CITATION.cff, the one
place that names it.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOK = "notebooks/minigpt4_colab.ipynb"
BRANCH = "main"
SHOWN = 112
"""height of an image on the page, in pixels"""


@dataclass(frozen=True)
class TopWords:
    """Words in one language; braces are filled from the results."""

    clone: str
    demo: str
    cost: str
    badge: str
    columns: tuple[str, str, str]


ENGLISH = TopWords(
    clone="needs the network",
    demo="installs into .venv, trains both stages, opens the chat in the browser",
    cost="`make demo` downloads {megabytes:.0f} MB (torch without CUDA and what else is needed; models and data are "
         "in the repository), installs in {install:.0f} and trains in {demo:.0f} minutes on two cores of the machine "
         "named in [first_hour.json](benchmarks/results/first_hour.json). It says what it is about to download before "
         "it does.",
    badge="open the notebook in Colab",
    columns=("image", "question", "answer"),
)
CHINESE = TopWords(
    clone="需要网络",
    demo="安装到 .venv，训练两个阶段，在浏览器中打开对话",
    cost="`make demo` 下载 {megabytes:.0f} MB（不带 CUDA 的 torch 及其他依赖；模型和数据都在仓库里），"
         "安装约 {install:.0f} 分钟，训练约 {demo:.0f} 分钟"
         "（两个核心，机器见 [first_hour.json](benchmarks/results/first_hour.json)）。"
         "下载之前，它会先说明要下载什么、有多大。",
    badge="在 Colab 中打开笔记本",
    columns=("图像", "问题", "回答"),
)
LANGUAGES: Mapping[str, TopWords] = {"en": ENGLISH, "zh": CHINESE}


def repository() -> str:
    """The address that is cloned."""
    return str(yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))["repository-code"])


def start(language: str) -> str:
    """The first commands, and the notebook's badge."""
    words, address = LANGUAGES[language], repository()
    folder = address.rpartition("/")[2]
    path = address.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{path}/blob/{BRANCH}/{NOTEBOOK}"
    commands = [f"git clone {address}   # {words.clone}", f"cd {folder}", f"make demo   # {words.demo}"]
    return "\n".join(["```bash", *commands, "```", "", f"[![{words.badge}](docs/images/open_in_colab.svg)]({colab})\n"])


def first_hour(results: Mapping[str, Any], language: str) -> str:
    """What `make demo` costs: {install_megabytes, install_minutes, demo_minutes}."""
    return LANGUAGES[language].cost.format(megabytes=results["install_megabytes"], install=results["install_minutes"],
                                           demo=results["demo_minutes"]) + "\n"


def first_answers(rows: Sequence[Mapping[str, str]], language: str) -> str:
    """A table of the rows in this language: [{image, question, answer, language}]."""
    lines = [_row(LANGUAGES[language].columns), _row(["---"] * 3)]
    for row in rows:
        if row["language"] == language:
            image = f'<img src="{row["image"]}" height="{SHOWN}" alt="">'
            lines.append(_row([image, _cell(row["question"]), f"**{_cell(row['answer'])}**"]))
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """A text as one cell: what a model says is never markup."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "&#124;").replace("*", "&#42;")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
