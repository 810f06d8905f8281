"""minigpt4: train and use projector-based vision-language models.

Names are exported lazily: `import minigpt4` imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigpt4.common.registry import registry as registry
    from minigpt4.inference.load import load as load
    from minigpt4.runners.finetuning.finetune import finetune as finetune

__version__ = "0.1.0"

_HOMES = {"finetune": "minigpt4.runners.finetuning.finetune", "load": "minigpt4.inference.load",
          "registry": "minigpt4.common.registry"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        from minigpt4.common.versions import check_versions

        check_versions()
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'minigpt4' has no attribute '{name}'")
