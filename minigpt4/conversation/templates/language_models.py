"""The chat forms of language models, as their own makers publish them, with an image on a line of its own.

Llama-3: llama.meta.com, "Model Cards & Prompt formats" · ChatML: Qwen2 and Yi, their `tokenizer_config.json` · Gemma:
ai.google.dev, "Gemma formatting" · Mistral: docs.mistral.ai, tokenization guide, v1 · Phi-3: its model card.
A tokenizer that says itself how to chat needs none of these: `template: chat_template`.
"""

from __future__ import annotations

from minigpt4.common.registry import templates
from minigpt4.conversation.template import Template

LANGUAGE_MODEL_TEMPLATES = (
    Template(
        name="llama_3", begins_with_bos="spelled", head="<|begin_of_text|>",
        system_prefix="<|start_header_id|>system<|end_header_id|>\n\n", system_suffix="<|eot_id|>",
        user_prefix="<|start_header_id|>user<|end_header_id|>\n\n", user_suffix="<|eot_id|>",
        assistant_prefix="<|start_header_id|>assistant<|end_header_id|>\n\n", answer_end="<|eot_id|>",
        image_joint="\n", stops=("<|eot_id|>", "<|end_of_text|>"),
    ),
    Template(
        name="chatml", begins_with_bos="tokenizer", system_prefix="<|im_start|>system\n",
        system_suffix="<|im_end|>\n", user_prefix="<|im_start|>user\n", user_suffix="<|im_end|>\n",
        assistant_prefix="<|im_start|>assistant\n", answer_end="<|im_end|>\n", image_joint="\n",
        stops=("<|im_end|>", "<|endoftext|>"),
    ),
    Template(
        name="gemma", begins_with_bos="always", user_prefix="<start_of_turn>user\n", user_suffix="<end_of_turn>\n",
        assistant_prefix="<start_of_turn>model\n", answer_end="<end_of_turn>\n", image_joint="\n",
        stops=("<end_of_turn>", "<eos>"),
    ),
    Template(
        name="mistral", begins_with_bos="always", user_prefix="[INST] ", user_suffix=" [/INST]", answer_prefix=" ",
        assistant_open="", answer_end="</s>", image_joint="\n", stops=("</s>",),
    ),
    Template(
        name="phi_3", begins_with_bos="tokenizer", system_prefix="<|system|>\n", system_suffix="<|end|>\n",
        user_prefix="<|user|>\n", user_suffix="<|end|>\n", assistant_prefix="<|assistant|>\n",
        answer_end="<|end|>\n", image_joint="\n", stops=("<|end|>", "<|endoftext|>"),
    ),
)

for template in LANGUAGE_MODEL_TEMPLATES:
    templates.add(template.name, template)
