"""README.md of an exported model: what it is, how it is used, what it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.weights.bundles.licences import UNKNOWN

CARD = """\
---
library_name: transformers
pipeline_tag: image-text-to-text
{licence}tags:
- minigpt4
---

# {name}

{parts}

```python
import minigpt4.ecosystem  # pip install minigpt4; makes the classes known, trust_remote_code is not needed
from transformers import pipeline

ask = pipeline("image-text-to-text", model="{name}")
question = [{{"role": "user", "content": [{{"type": "image", "url": "rose.jpg"}},
                                        {{"type": "text", "text": "What is this?"}}]}}]
print(ask(question, return_full_text=False)[0]["generated_text"])
```

{knowledge}Template: {template}. Behaviour: {behaviour}.
"""


def model_card(loaded: LoadedModel, manifest: Mapping[str, Any], *, name: str) -> str:
    """The card; its licence line only where all parts that state one state the same.

    Args:
        loaded: the model.
        manifest: of the bundle that was written; its parts may state licences.
        name: of the folder or repository.
    """
    licences = {part: entry["licence"] for part, entry in manifest["parts"].items() if entry.get("licence")}
    stated = {part: licence for part, licence in licences.items() if licence != UNKNOWN}
    parts = "\n".join(
        f"- {part}: {type(module).__name__}, {sum(p.numel() for p in module.parameters()):,} parameters"
        + (f", licence as stated by its files: {stated[part]}" if part in stated else "")
        for part, module in loaded.model.parts().items()
    )
    common = set(licences.values()) if len(stated) == len(licences) else set()
    licence = f"license: {common.pop()}\n" if len(common) == 1 else ""
    return CARD.format(name=name, parts=parts, template=loaded.renderer.chat.name, behaviour=loaded.behaviour.name,
                       licence=licence, knowledge=_knowledge(loaded))


def _knowledge(loaded: LoadedModel) -> str:
    knowledge = loaded.knowledge
    if knowledge is None:
        return ""
    questions = "".join(f"- {text}\n" for text in knowledge.questions_in())
    return f"{knowledge.sentence()} It was trained to answer:\n\n{questions}\n"
