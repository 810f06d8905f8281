"""Export to other projects: the originals' `.pth` forms, and a standard `Blip2ForConditionalGeneration` folder.

The first is what LAVIS-style code reads as `ckpt`; the second is read by transformers without this package. Both are
the import plans run backwards, so a key that comes in goes out under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, atomic_folder, write_json
from minigpt4.weights.plans.plan import ConversionPlan, fill_key, key_pattern

Check = Callable[[Path], list[str]]
"""looks at what was written before it gets its final name: lines for the report, or a `UserError`"""


def state_of(parts: Mapping[str, nn.Module], names: Sequence[str]) -> dict[str, Tensor]:
    """`part.key` -> tensor of some parts, on the CPU."""
    return {f"{name}.{key}": value.detach().cpu() for name in names for key, value in parts[name].state_dict().items()}


def in_original_names(plan: ConversionPlan, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the keys of the original: each rule's way back.

    Raises:
        UserError: tensors that no rule of the plan makes, so the form has no place for them.
    """
    made: dict[str, Tensor] = {}
    homeless = []
    for target, tensor in state.items():
        for rule in plan.rules:
            if found := key_pattern(rule.target).fullmatch(target):
                sources = [fill_key(source, found) for source in rule.sources]
                made.update(zip(sources, (value.clone() for value in rule.backward(tensor)), strict=True))
                break
        else:
            homeless.append(target)
    if homeless:
        raise UserError("export.no_place", where=homeless[0], fix="export as a bundle or as blip2",
                        what=f"and {len(homeless) - 1} more tensors have no name in a {plan.name}")
    return made


def write_original(plan: ConversionPlan, parts: Mapping[str, nn.Module], trained: Sequence[str], target: Path,
                   check: Check | None = None) -> list[str]:
    """`{'model': …}` with the trained parts, as the original's runner saved it.

    Args:
        plan: of the original's checkpoints.
        parts: all parts of the model.
        trained: names of those that go out.
        target: a new `.pth`.
        check: looks at the file before it gets its name.

    Returns:
        lines that say what was written.
    """
    state = in_original_names(plan, state_of(parts, trained))
    with atomic_file(target) as part:
        torch.save({"model": state}, part)
        checked = check(part) if check else []
    return [f"{target}: {len(state)} tensors of {', '.join(trained)} in the original's names", *checked]


def write_blip2(parts: Mapping[str, nn.Module], names: Mapping[str, str], *, image_token_id: int, template: str,
                tokenizer_files: Sequence[Path], image_size: int, mean: Sequence[float], std: Sequence[float],
                target: Path, check: Check | None = None) -> list[str]:
    """A folder that `Blip2ForConditionalGeneration.from_pretrained` reads.

    Args:
        parts: vision (EVA-ViT), resampler (Q-Former), connector, llm.
        names: beginning of our tensors' names -> theirs.
        image_token_id: an id that no text has; the placeholder of image tokens.
        template: name of the prompt template, noted for people.
        tokenizer_files: copied into the folder.
        image_size, mean, std: of the image processor.
        target: a new folder.
        check: looks at the folder before it gets its name.

    Returns:
        lines that say what was written, and what the form cannot say.

    Raises:
        UserError: the parts are not those of BLIP-2; what `check` raises.
    """
    from transformers import Blip2ForConditionalGeneration

    config = _blip2_config(parts, image_token_id)
    state = {_name_in(names, name): tensor for name, tensor in state_of(parts, list(parts)).items()}
    with torch.device("meta"):
        model = Blip2ForConditionalGeneration(config)
    model.load_state_dict(state, strict=not config.text_config.tie_word_embeddings, assign=True)
    if config.text_config.tie_word_embeddings:
        model.language_model.tie_weights()
    with atomic_folder(target) as folder:
        model.save_pretrained(folder)
        for file in tokenizer_files:
            (folder / file.name).write_bytes(file.read_bytes())
        write_json(folder / "preprocessor_config.json", _image_processor(image_size, mean, std))
        write_json(folder / "processor_config.json", {"processor_class": "Blip2Processor",
                                                      "num_query_tokens": config.num_query_tokens})
        checked = check(folder) if check else []
    return [
        f"{target}: {len(state)} tensors for Blip2ForConditionalGeneration, template {template} (not part of the form)",
        "the last norm of the vision encoder has eps 1e-5 here and 1e-6 there: about 1e-5 of difference in its output",
        *checked,
    ]


def _blip2_config(parts: Mapping[str, nn.Module], image_token_id: int) -> Any:
    from transformers import Blip2Config, Blip2QFormerModel, Blip2VisionModel

    vision: Any = getattr(parts["vision"], "model", None)
    q_former: Any = getattr(parts["resampler"], "model", None)
    if not isinstance(vision, Blip2VisionModel) or not isinstance(q_former, Blip2QFormerModel):
        kinds = f"{type(parts['vision']).__name__} and {type(parts['resampler']).__name__}"
        raise UserError("export.parts", where="--form blip2", what=f"has no place for {kinds}",
                        fix="only eva_vit with q_former can be exported in this form; use --form original")
    llm: Any = parts["llm"]
    queries: Any = parts["resampler"]
    return Blip2Config(
        vision_config=vision.config.to_dict(), qformer_config=q_former.config.to_dict(),
        text_config=llm.model.config.to_dict(), num_query_tokens=queries.out_tokens, image_token_index=image_token_id,
    )


def _name_in(names: Mapping[str, str], name: str) -> str:
    ours = next(prefix for prefix in names if name.startswith(prefix))
    return names[ours] + name.removeprefix(ours)


def _image_processor(size: int, mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    return {
        "image_processor_type": "BlipImageProcessor", "do_convert_rgb": True, "do_resize": True, "resample": 3,
        "size": {"height": size, "width": size}, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": list(mean), "image_std": list(std),
    }
