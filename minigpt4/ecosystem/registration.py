"""Makes our classes known to transformers' Auto classes; importing this module is all it takes.

Nothing of ours travels with the weights as code: `trust_remote_code` is neither needed nor of any use.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor

from minigpt4.ecosystem.config import MiniGPT4Config
from minigpt4.ecosystem.image_processor import MiniGPT4ImageProcessor
from minigpt4.ecosystem.model import MiniGPT4ForConditionalGeneration
from minigpt4.ecosystem.processor import MiniGPT4Processor

AutoConfig.register(MiniGPT4Config.model_type, MiniGPT4Config)
AutoModelForImageTextToText.register(MiniGPT4Config, MiniGPT4ForConditionalGeneration)
AutoImageProcessor.register(
    MiniGPT4Config, image_processor_classes={"pil": MiniGPT4ImageProcessor, "torchvision": MiniGPT4ImageProcessor}
)
AutoProcessor.register(MiniGPT4Config, MiniGPT4Processor)
