"""Is what was exported the same model? Each form is loaded again and compared on one image and prompt.

Everything is compared in fp32; two copies of the model are in memory meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.part_files import checkpoint_file
from minigpt4.assembly.probe import Probe, difference, logits_of, probe_of
from minigpt4.common.errors import UserError
from minigpt4.common.registry import systems
from minigpt4.ecosystem.exporting import unused_id
from minigpt4.ecosystem.foreign_files import Check
from minigpt4.ecosystem.model import MiniGPT4ForConditionalGeneration
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.weights.files.sources import Sources

TOLERANCE = 1e-3
"""largest difference of logits, in units of the largest of them where that is above 1"""
WORDS = {
    "original": "",
    "blip2": " (the cost of one LayerNorm epsilon where the original has two)",
    "transformers": "",
}


def check_of(form: str, loaded: LoadedModel) -> Check:
    """What is passed to the writer of a form: compares, reports it in a line, or raises `UserError` above the
    tolerance.

    Args:
        form: original, blip2 or transformers.
        loaded: the model that is exported; its weights become fp32.
    """

    def check(written: Path) -> list[str]:
        loaded.model.float().eval()
        probe = probe_of(loaded, without=-1 if form == "original" else unused_id(loaded))
        found = difference(logits_of(loaded.model, probe), LOGITS[form](loaded, probe, written))
        if not found <= TOLERANCE:
            raise UserError("export.check", where=f"--form {form}",
                            what=f"is not written: loaded again, its logits differ by {found:.1e}",
                            fix="this is a bug; export in another form and please report it")
        return [f"checked: loaded again, logits differ by at most {found:.1e} on one image and prompt{WORDS[form]}"]

    return check


def _original(loaded: LoadedModel, probe: Probe, written: Path) -> Tensor:
    """Parts that the file holds come from it, the rest from the model."""
    system = systems.get(loaded.config.arch)
    llm = loaded.model.llm
    again = VisionLanguageModel(system.visual_path(loaded.config, llm.width), llm)
    made, _ = checkpoint_file(system, loaded.config, written, Sources()).load(again.parts())
    for name, part in again.parts().items():
        if name not in made:
            part.load_state_dict(loaded.model.parts()[name].state_dict())
    return logits_of(again.eval(), probe)


@torch.no_grad()
def _blip2(loaded: LoadedModel, probe: Probe, written: Path) -> Tensor:
    from transformers import Blip2ForConditionalGeneration

    model = Blip2ForConditionalGeneration.from_pretrained(written, dtype=torch.float32).eval()
    ids = probe.with_place_holder(model.config.image_token_index)
    logits: Tensor = model(pixel_values=probe.pixel_values, input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits


@torch.no_grad()
def _transformers(loaded: LoadedModel, probe: Probe, written: Path) -> Tensor:
    model = MiniGPT4ForConditionalGeneration.from_pretrained(written, dtype=torch.float32).eval()
    ids = probe.with_place_holder(model.config.image_token_id)
    logits: Tensor = model(pixel_values=probe.pixel_values, input_ids=ids).logits
    return logits


LOGITS: dict[str, Callable[[LoadedModel, Probe, Path], Tensor]] = {
    "original": _original, "blip2": _blip2, "transformers": _transformers,
}
