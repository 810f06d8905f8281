"""Templates of our own runs: the same for training and chat, so the model is asked as it was taught."""

from __future__ import annotations

from minigpt4.common.registry import templates
from minigpt4.conversation.template import Template

VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

STANDARD_TEMPLATES = (
    # the original's stage 1: the image tokens are the whole prompt (arXiv 2304.10592, section 3.1)
    Template(name="plain", answer_end="\n", stops=("\n",), cut="answers"),
    # Vicuna v0; the first "###" belongs to the system text because later turns follow the "###" of an answer
    Template(
        name="vicuna_v0",
        system_suffix="###",
        system_always=True,
        user_prefix="Human: ",
        user_suffix=" ###",
        assistant_prefix="Assistant: ",
        answer_end="###",
        image_prefix="<Img>",
        image_suffix="</Img>",
        cut="answers",
        stops=("###",),
    ),
    Template(
        name="vicuna_v1",
        system=VICUNA_SYSTEM,
        system_suffix=" ",
        system_always=True,
        user_prefix="USER: ",
        user_suffix=" ",
        assistant_prefix="ASSISTANT:",
        answer_end="</s>",
        image_prefix="<Img>",
        image_suffix="</Img>",
        cut="answers",
        stops=("</s>",),
    ),
    Template(
        name="llama2",
        user_prefix="[INST] ",
        user_suffix=" ",
        assistant_prefix="[/INST] ",
        answer_end="</s>",
        image_prefix="<Img>",
        image_suffix="</Img>",
        cut="answers",
        stops=("</s>",),
    ),
)

for template in STANDARD_TEMPLATES:
    templates.add(template.name, template)
