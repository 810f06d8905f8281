"""The blocks of the READMEs that are written from committed results, each between two markers.

    python benchmarks/readme.py      # rewrites what is between the markers in README.md and README_zh.md

start, first hour and first answers: benchmarks/readme_top.py; measured: here. No figure that holds on one machine only
is given without saying that the result names the machine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

from benchmarks import readme_top  # noqa: E402

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Words:
    """The tables' words in one language; braces are filled from the results."""

    page: str
    scenes: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cost: str
    photos: str
    speed: str
    weights: str
    where: str


ENGLISH = Words(
    page="README.md",
    scenes="**Embedded default** (`make demo`): share of right answers about {number} fresh scenes a split; "
           "seen / held out combinations of kind and colour.",
    columns=("majority answer", "before training", "after stage 1", "after stage 2", "ceiling"),
    rows=("English, nine question types", "of them the four that depend on the combination",
          "Chinese, nine question types", "attributes of detailed descriptions, English",
          "form of an instruction's answer"),
    cost="Both stages together: {seconds:.0f} CPU-seconds on one thread. The ceiling is the same "
         "language model given the scene in words. By type: [docs/scenes.md](docs/scenes.md).",
    photos="**Real photographs** from scratch, ten classes, {number} held out: {first:.3f} of the captions name the "
           "right class after stage 1, {second:.3f} after stage 2 (chance 0.10); {ends:.3f} end properly; "
           "{minutes:.1f} CPU-minutes. [docs/photos.md](docs/photos.md)",
    speed="**Speed** beside transformers' `Blip2ForConditionalGeneration` with the same weights, in one run: "
          "training step {step:.2f} times its samples/s ({stored:.2f} from stored image features), gradients differ "
          "by {gradient:.0e}; first token of turn 3 after {turn:.2f} of its time on one thread, same "
          "tokens. `python benchmarks/train_step.py`, `python benchmarks/chat.py`",
    weights="**Real weights** on a CPU: `apply-delta` of a {delta:.1f} GB pair holds {peak:.2f} GiB at most, equal "
            "bit for bit to the sum in memory. The real widths two layers deep ({parameters:.0f} M parameters): loaded "
            "in {load:.0f} s, {full:.2f} GiB in fp32 and {small:.2f} GiB with the language model in 8 bit, never more "
            "than {beyond:.2f} GiB beyond what stays; 20 training steps in 8 bit with a peak of {train:.2f} GiB, "
            "killed and resumed bit for bit. `minigpt4 plan` is {off} off the measured peaks of {configs} configs. "
            "`python benchmarks/apply_delta.py`, `real_widths.py`, `plan.py`",
    where="Times and memory are those of the machines that the files in [benchmarks/results](benchmarks/results) name; "
          "yours will differ.",
)
CHINESE = Words(
    page="README_zh.md",
    scenes="**内置示例**（`make demo`）：每个划分 {number} 个新场景上的正确率；左为训练中出现过的“种类 × 颜色”组合，"
           "右为从未出现过的组合。",
    columns=("最常见答案", "训练前", "第一阶段后", "第二阶段后", "上限"),
    rows=("英文，九类问题", "其中取决于组合的四类", "中文，九类问题", "详细描述中的属性（英文）", "按指令作答的形式"),
    cost="两个阶段合计 {seconds:.0f} CPU 秒，单线程。上限是把场景用词直接告诉同一语言模型。"
         "分类型结果：[docs/scenes.md](docs/scenes.md)。",
    photos="**真实照片**，从零训练，十个类别，留出 {number} 张：第一阶段后 {first:.3f} 的说明给出正确类别，第二阶段后 "
           "{second:.3f}（随机 0.10）；{ends:.3f} 正常结束；{minutes:.1f} CPU 分钟。"
           "[docs/photos.md](docs/photos.md)",
    speed="**速度**：与 transformers 的 `Blip2ForConditionalGeneration` 用相同权重在同一次运行中比较，均为比值："
          "训练步每秒样本数是它的 {step:.2f} 倍（用已存图像特征时 {stored:.2f} 倍），梯度相差 {gradient:.0e}；"
          "第三轮首个词元的时间是它的 {turn:.2f}（单线程），词元相同。"
          "`python benchmarks/train_step.py`、`python benchmarks/chat.py`",
    weights="**真实权重**（CPU）：对 {delta:.1f} GB 的一对文件，`apply-delta` 最多占用 {peak:.2f} GiB，"
            "结果与在内存中相加逐位相同。真实宽度、两层深（{parameters:.0f} M 参数）：{load:.0f} 秒载入，"
            "fp32 占 {full:.2f} GiB，"
            "语言模型用 8 位时占 {small:.2f} GiB，载入时最多比最终多占 {beyond:.2f} GiB；"
            "8 位下训练 20 步，峰值 {train:.2f} GiB，中断后继续，"
            "结果逐位相同。`minigpt4 plan` 与 {configs} 个配置的实测峰值相差 {off}。"
            "`python benchmarks/apply_delta.py`、`real_widths.py`、`plan.py`",
    where="时间和内存是 [benchmarks/results](benchmarks/results) 各文件所写机器上的结果，你的会有所不同。",
)
LANGUAGES: Mapping[str, Words] = {"en": ENGLISH, "zh": CHINESE}
RESULTS = ("scenes", "photos", "train_step", "chat", "apply_delta", "real_widths", "plan")
"""names in benchmarks/results"""
MOMENTS = ("before", "stage1", "stage2", "ceiling")
ASKED = 3
"""rows that are questions, for which there is a majority answer"""
SHARES: tuple[Callable[[Results], float], ...] = (
    lambda split: split["questions"]["en"]["mean"],
    lambda split: split["questions"]["en"]["pair_mean"],
    lambda split: split["questions"]["zh"]["mean"],
    lambda split: split["descriptions"]["en"],
    lambda split: split["form"],
)
"""a row's figure, from the figures of a moment and split"""


def measured(results: Mapping[str, Results], *, language: str = "en") -> str:
    """The text between the markers; every number is from the results (name of a JSON file -> its content)."""
    words = LANGUAGES[language]
    paragraphs = [_scenes(words, results["scenes"]), _photos(words, results["photos"]),
                  _speed(words, results["train_step"], results["chat"]),
                  _weights(words, results["apply_delta"], results["real_widths"], results["plan"]), words.where]
    return "\n\n".join(paragraphs) + "\n"


def _scenes(words: Words, results: Results) -> str:
    figures = results["figures"]
    lines = [words.scenes.format(number=figures["stage2"]["seen"]["scenes"]), "", _row(["", *words.columns]),
             _row(["---"] * (len(words.columns) + 1))]
    for name, share in zip(words.rows, SHARES, strict=True):
        asked = name in words.rows[:ASKED]
        majority = {split: {"questions": figures["stage2"][split]["majority"]} for split in ("seen", "held_out")}
        lines.append(_row([name, _pair(majority, share) if asked else "",
                           *(_pair(figures[moment], share) for moment in MOMENTS)]))
    seconds = sum(results["cpu_seconds"].values())
    return "\n".join([*lines, "", words.cost.format(seconds=seconds)])


def _pair(moment: Results, share: Callable[[Results], float]) -> str:
    return f"{share(moment['seen']):.2f} / {share(moment['held_out']):.2f}"


def _photos(words: Words, results: Results) -> str:
    first, second = results["stages"]["stage1"], results["stages"]["stage2"]
    return words.photos.format(
        number=results["held_out"], first=first["score"], second=second["score"], ends=second["ends_properly"],
        minutes=first["cpu_minutes"] + second["cpu_minutes"],
    )


def _speed(words: Words, step: Results, chat: Results) -> str:
    step = step["cases"]["stage1"]
    ours, cpu = step["variants"]["minigpt4"], chat["cpu_1_thread"]
    return words.speed.format(
        step=ours["speed_ratio"], stored=step["variants"]["minigpt4_stored"]["speed_ratio"],
        gradient=ours["gradient_difference"], turn=cpu["turn_3_to_peer"],
    )


def _weights(words: Words, delta: Results, real: Results, plan: Results) -> str:
    full, small = real["load_fp32"], real["load_int8"]
    off = [each["off"] for each in plan["configs"].values()]
    return words.weights.format(
        delta=delta["base_gb"], peak=delta["peak_rss_anon_gib"], parameters=full["parameters"] / 1e6,
        load=full["seconds"], full=full["model_gib"], small=small["model_gib"],
        beyond=max(full["beyond_gib"], small["beyond_gib"]), train=real["training_int8"]["whole"]["peak_gib"],
        off=f"{100 * min(off):+.1f} % … {100 * max(off):+.1f} %", configs=len(off),
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def blocks_of(language: str) -> dict[str, str]:
    """Name of a block -> its text."""
    results = {name: committed(name) for name in RESULTS}
    return {
        "start": readme_top.start(language),
        "first hour": readme_top.first_hour(committed("first_hour"), language),
        "first answers": readme_top.first_answers(committed("first_answers"), language),
        "measured": measured(results, language=language),
    }


def with_blocks(page: str, texts: Mapping[str, str]) -> str:
    """The page with each text between its markers."""
    for name, text in texts.items():
        begin, end = f"<!-- {name}: written by benchmarks/readme.py -->\n", f"<!-- /{name} -->"
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        assert found and ended, f"the page has no {begin.strip()} … {end}"
        page = before + begin + text + end + after
    return page


def committed(name: str) -> Any:
    """What a file of benchmarks/results holds."""
    return json.loads((PROJECT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def main() -> int:
    for language, words in LANGUAGES.items():
        page = PROJECT / words.page
        page.write_text(with_blocks(page.read_text(encoding="utf-8"), blocks_of(language)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
