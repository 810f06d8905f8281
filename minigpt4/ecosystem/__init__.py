"""Our models as transformers' own: `import minigpt4.ecosystem`, then `from_pretrained`, `pipeline`, `push_to_hub`."""

from minigpt4.ecosystem.registration import (
    MiniGPT4Config,
    MiniGPT4ForConditionalGeneration,
    MiniGPT4ImageProcessor,
    MiniGPT4Processor,
)

__all__ = ["MiniGPT4Config", "MiniGPT4ForConditionalGeneration", "MiniGPT4ImageProcessor", "MiniGPT4Processor"]
