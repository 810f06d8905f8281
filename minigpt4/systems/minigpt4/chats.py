"""How the originals' chat wrote a conversation (`conversation/conversation.py`); their training used other texts."""

from __future__ import annotations

from dataclasses import replace

from minigpt4.common.registry import templates
from minigpt4.conversation.template import Template

SYSTEM = (
    "Give the following image: <Img>ImageContent</Img>. "
    "You will be able to see the image once I provide it to you. Please answer my questions."
)

APRIL_VICUNA_CHAT = Template(
    name="minigpt4_april_vicuna_chat", system=SYSTEM, system_suffix="###", user_prefix="Human: ",
    user_suffix="###", assistant_prefix="Assistant: ", assistant_open="Assistant:", answer_end="###",
    image_prefix="<Img>", image_suffix="</Img>", image_joint=None, stops=("###",), system_always=True,
    own_turn_per_image=True,
)
NEWEST_VICUNA_CHAT = replace(APRIL_VICUNA_CHAT, name="minigpt4_vicuna_chat", assistant_open=None)
LLAMA2_CHAT = replace(
    APRIL_VICUNA_CHAT, name="minigpt4_llama2_chat", system_suffix="", user_prefix="<s>[INST] ", user_suffix="",
    assistant_prefix=" [/INST] ", assistant_open=None, answer_end="", stops=("</s>",),
)

for template in (APRIL_VICUNA_CHAT, NEWEST_VICUNA_CHAT, LLAMA2_CHAT):
    templates.add(template.name, template)
