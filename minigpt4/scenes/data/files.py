"""Write scenes and photographs to disk in the layouts of real data, so that the builders of real data read them.

    DIR/stage1/00000.tar …            tars as img2dataset writes them: KEY.png, KEY.txt, KEY.json   -> cc_sbu, laion
    DIR/stage2/filter_cap.json, image/                                                              -> cc_sbu_align
    DIR/dialogues/conversations.json, images/                                                       -> llava_instruct
    DIR/newcomers/conversations.json, images/           what people ask first                       -> llava_instruct
    DIR/watched/watched.jsonl, images/                  what training answers as it goes on              -> run.watch
    DIR/seen/, DIR/held_out/: scenes.jsonl, images/     what `minigpt4 eval` asks
    DIR/scenes.json                                     how it was made

The same seed gives the same bytes (with the same Pillow, which packs the PNGs); more samples leave the first as they
are.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import PIL

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_folder, write_json
from minigpt4.datasets.instructions import LLAVA_MARK
from minigpt4.records.conversations import IMAGE_MARK
from minigpt4.scenes.combinations import VARIANTS
from minigpt4.scenes.data.album import Album
from minigpt4.scenes.data.pictures import encoded, ending_of
from minigpt4.scenes.data.samples import (
    Dialogue,
    dialogue_sample,
    evaluation_sample,
    newcomer_sample,
    photograph_sample,
    stage1_sample,
    stage2_sample,
)
from minigpt4.scenes.data.watched import write_watched

PER_SHARD = 1000
EVALUATION_SPLITS = ("seen", "held_out")
CAPTION_TEMPLATE, QUESTION_TEMPLATE = "plain", "vicuna_v0"
"""templates that stage 1 and stage 2 of the scenes are trained with"""


@dataclass(frozen=True, kw_only=True)
class ScenesPlan:
    """What is written."""

    seed: int = 0
    stage1: int = 4000
    """captions of stage 1"""
    stage2: int = 500
    """descriptions of stage 2"""
    dialogues: int = 3000
    """dialogues of stage 2"""
    newcomers: int = 3000
    """conversations of stage 2 about what people ask first"""
    photographs: int = 1600
    """captioned photographs of stage 1, where there is an album"""
    eval: int = 200
    """scenes of each evaluation split"""
    held_out_variant: int = 0
    """which combinations of kind and colour are kept for evaluation"""

    def __post_init__(self) -> None:
        for name in ("stage1", "stage2", "dialogues", "newcomers", "eval"):
            if getattr(self, name) < 1:
                raise UserError("scenes.value", where=name, what=f"is {getattr(self, name)}", fix="use 1 or more")
        if self.held_out_variant not in VARIANTS:
            known = ", ".join(map(str, VARIANTS))
            raise UserError("scenes.value", where="held_out_variant", what=f"is {self.held_out_variant}",
                            fix=f"known: {known}")

    @property
    def total(self) -> int:
        """Samples in all, where there is an album."""
        return self.stage1 + self.photographs + self.stage2 + self.dialogues + self.newcomers \
            + len(EVALUATION_SPLITS) * self.eval


Advance = Callable[[], object]
"""called after every image, for a progress bar"""


def write_scenes(folder: Path, plan: ScenesPlan, advance: Advance = lambda: None, *, album: Album | None = None
                 ) -> None:
    """Write everything into a new folder, which appears when it is complete.

    Args:
        album: photographs to train on; None = scenes only.

    Raises:
        UserError: the folder already exists, or cannot be written.
    """
    if folder.exists():
        raise UserError("scenes.exists", where=str(folder), what="already exists",
                        fix="remove it or give another --output")
    with atomic_folder(folder) as part:
        _write_stage1(part / "stage1", plan, advance)
        _write_stage2(part / "stage2", plan, advance)
        _write_dialogues(part / "dialogues", plan, advance)
        if album is not None:
            _write_photographs(part / "stage1", plan, album, advance)
        _write_newcomers(part / "newcomers", plan, album, advance)
        write_watched(part / "watched", plan.seed, plan.held_out_variant, album)
        for split in EVALUATION_SPLITS:
            _write_evaluation(part / split, split, plan, advance)
        write_json(part / "scenes.json", {**asdict(plan), "pillow": PIL.__version__})


def _write_stage1(folder: Path, plan: ScenesPlan, advance: Advance) -> None:
    folder.mkdir()
    for shard in range(-(-plan.stage1 // PER_SHARD)):
        with tarfile.open(folder / f"{shard:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(shard * PER_SHARD, min((shard + 1) * PER_SHARD, plan.stage1)):
                sample, key = stage1_sample(plan.seed, number, plan.held_out_variant), f"{number:09d}"
                record = {"caption": sample.text, "key": key, "scene": asdict(sample.scene)}
                _add(tar, f"{key}.png", encoded(sample.scene))
                _add(tar, f"{key}.txt", sample.text.encode())
                _add(tar, f"{key}.json", _json(record).encode())
                advance()


def _write_stage2(folder: Path, plan: ScenesPlan, advance: Advance) -> None:
    annotations = []
    (folder / "image").mkdir(parents=True)
    for number in range(plan.stage2):
        sample = stage2_sample(plan.seed, number, plan.held_out_variant)
        (folder / "image" / f"{number}.png").write_bytes(encoded(sample.scene))
        annotations.append({"image_id": str(number), "caption": sample.text, "scene": asdict(sample.scene)})
        advance()
    (folder / "filter_cap.json").write_text(_json({"annotations": annotations}), encoding="utf-8")


def _write_dialogues(folder: Path, plan: ScenesPlan, advance: Advance) -> None:
    records = []
    (folder / "images").mkdir(parents=True)
    for number in range(plan.dialogues):
        dialogue, image = dialogue_sample(plan.seed, number, plan.held_out_variant), f"{number:06d}.png"
        (folder / "images" / image).write_bytes(encoded(dialogue.scene))
        records.append({"id": f"{number:06d}", "image": f"images/{image}", "conversations": _turns(dialogue),
                        "scene": asdict(dialogue.scene)})
        advance()
    (folder / "conversations.json").write_text(_json(records), encoding="utf-8")


def _write_photographs(folder: Path, plan: ScenesPlan, album: Album, advance: Advance) -> None:
    """A shard of captioned photographs beside those of scenes."""
    scenes = -(-plan.stage1 // PER_SHARD)
    with tarfile.open(folder / f"{scenes:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(plan.photographs):
            photograph, text = photograph_sample(plan.seed, number, album)
            key = f"{scenes:05d}{number:04d}"
            _add(tar, f"{key}.jpg", encoded(photograph))
            _add(tar, f"{key}.txt", text.encode())
            _add(tar, f"{key}.json", _json({"caption": text, "key": key, "class": photograph.subject}).encode())
            advance()


def _write_newcomers(folder: Path, plan: ScenesPlan, album: Album | None, advance: Advance) -> None:
    records = []
    (folder / "images").mkdir(parents=True)
    for number in range(plan.newcomers):
        talk = newcomer_sample(plan.seed, number, plan.held_out_variant, album)
        names = [f"images/{number:06d}_{index}.{ending_of(view)}" for index, view in enumerate(talk.views)]
        for name, view in zip(names, talk.views, strict=True):
            (folder / name).write_bytes(encoded(view))
        turns = [{"from": ("human", "gpt")[index % 2], "value": text.replace(IMAGE_MARK, LLAVA_MARK)}
                 for index, text in enumerate(talk.turns)]
        records.append({"id": f"{number:06d}", **({"image": names} if names else {}), "conversations": turns})
        advance()
    (folder / "conversations.json").write_text(_json(records), encoding="utf-8")


def _turns(dialogue: Dialogue) -> list[dict[str, str]]:
    """LLaVA's turns; the image stands before the first question, as in a chat."""
    turns = []
    for number, exchange in enumerate(dialogue.exchanges):
        question = f"{LLAVA_MARK} {exchange.question}" if number == 0 else exchange.question
        turns += [{"from": "human", "value": question}, {"from": "gpt", "value": exchange.answer}]
    return turns


def _write_evaluation(folder: Path, split: str, plan: ScenesPlan, advance: Advance) -> None:
    (folder / "images").mkdir(parents=True)
    with open(folder / "scenes.jsonl", "w", encoding="utf-8") as file:
        for number in range(plan.eval):
            dialogue = evaluation_sample(plan.seed, split, number, plan.held_out_variant)
            image = f"images/{number:06d}.png"
            (folder / image).write_bytes(encoded(dialogue.scene))
            file.write(_json({"image": image, **asdict(dialogue)}) + "\n")
            advance()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """A member without a date or an owner: nothing of the machine is written."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
