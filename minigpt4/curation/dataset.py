"""The finished data set, in the layout of `cc_sbu_align`: `filter_cap.json` beside `image/`, and where it is from.

    DIR/filter_cap.json     {"annotations": [{"image_id": "000000", "caption": "…"}, …]}
    DIR/image/000000.jpg    the bytes of the images as they were
    DIR/provenance.jsonl    a line for every image, kept or not: drafts, polished text, reason, decision
    DIR/provenance.json     the model, prompts, rules and endpoint
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_folder
from minigpt4.curation.journal import Journal

ANNOTATIONS = "filter_cap.json"


def write_dataset(journal: Journal, images: Path, target: Path, origin: Mapping[str, object]) -> int:
    """Write the kept descriptions and return their number; what is there is replaced at once.

    Args:
        journal: what became of each image.
        images: the folder that its names are relative to.
        target: the folder to write.
        origin: what `provenance.json` says of model, prompts, rules and endpoint.

    Raises:
        UserError: nothing is kept, an image is gone, or the disk is full.
    """
    kept = [entry for entry in journal if entry.is_kept]
    if not kept:
        raise UserError("curate.empty", where=str(target), what=f"none of {len(journal)} images is kept, so no data "
                        "set is written", fix="loosen the rules, or look at the reasons in curation.jsonl")
    with atomic_folder(target) as part:
        (part / "image").mkdir()
        annotations, numbers = [], {}
        for number, entry in enumerate(kept):
            numbers[entry.image] = f"{number:06d}"
            _copy(images / entry.image, part / "image" / f"{number:06d}{Path(entry.image).suffix.lower() or '.jpg'}")
            annotations.append({"image_id": f"{number:06d}", "caption": entry.text})
        _write(part / ANNOTATIONS, json.dumps({"annotations": annotations}, ensure_ascii=False, indent=1))
        _write(part / "provenance.json", json.dumps(dict(origin), ensure_ascii=False, indent=1))
        lines = (json.dumps({"image_id": numbers.get(entry.image), **asdict(entry)}, ensure_ascii=False)
                 for entry in journal)
        _write(part / "provenance.jsonl", "\n".join(lines))
    return len(kept)


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise UserError("curate.image", where=str(source), what="is gone since it was described",
                        fix="put it back, or drop it: minigpt4 curate --review")
    shutil.copyfile(source, target)


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")
