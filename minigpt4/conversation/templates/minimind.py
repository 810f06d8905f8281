"""MiniMind-V's forms: October 2024 (jingyaogong/minimind-v commit 606d588), 2025, and June 2026 (commit 9595617).

An image is a run of placeholder tokens there, whose embeddings are replaced; the run's ids stand at the slots.
"""

from __future__ import annotations

from dataclasses import replace

from minigpt4.common.registry import templates
from minigpt4.conversation.template import Template

SYSTEM_2025 = "你是 MiniMind，是一个有用的人工智能助手。"

MINIMIND_2024 = Template(
    name="minimind_2024", begins_with_bos="never", user_prefix="<s>user\n", user_suffix="</s>\n",
    assistant_prefix="<s>assistant", answer_prefix="\n", answer_end="</s>\n", image_joint="\n",
    image_run="<" * 25 + ">" * 25, stops=("</s>",),
)
MINIMIND_2026 = Template(
    name="minimind_2026", begins_with_bos="never", system_prefix="<|im_start|>system\n", system_suffix="<|im_end|>\n",
    user_prefix="<|im_start|>user\n", user_suffix="<|im_end|>\n", assistant_prefix="<|im_start|>assistant\n",
    answer_prefix="<think>\n\n</think>\n\n", answer_end="<|im_end|>\n", image_joint="\n",
    image_run="<|image_pad|>" * 64, stops=("<|im_end|>", "<|endoftext|>"), thinks=True,
)

FORMS = (
    MINIMIND_2024,
    replace(MINIMIND_2024, name="minimind_2025", system_prefix="<s>system\n", system=SYSTEM_2025,
            system_suffix="</s>\n", image_run="@" * 196),
    replace(
        MINIMIND_2024, name="minimind_2025_chatml", system_prefix="<|im_start|>system\n", system=SYSTEM_2025,
        system_suffix="<|im_end|>\n", user_prefix="<|im_start|>user\n", user_suffix="<|im_end|>\n",
        assistant_prefix="<|im_start|>assistant", answer_end="<|im_end|>\n", image_run="@" * 196,
        stops=("<|im_end|>", "<|endoftext|>"),
    ),
    MINIMIND_2026,
    replace(MINIMIND_2026, name="minimind_2026_thinking", assistant_open="<|im_start|>assistant\n<think>\n"),
    replace(MINIMIND_2026, name="minimind_2026_without_thoughts", answer_prefix=""),
)

for template in FORMS:
    templates.add(template.name, template)
