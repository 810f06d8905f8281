"""A template of ours in jinja, for programs that want `chat_template.jinja`.

It writes the same text as `Template.pieces`; ids come from the processor, which encodes piece by piece.
"""

from __future__ import annotations

import json

from minigpt4.conversation.template import Template
from minigpt4.records.conversations import IMAGE_MARK

TURNS = """\
{%- set state = namespace(system=SYSTEM, first=true) -%}
{%- for message in messages if message.role == 'system' -%}
{%- set state.system = message.content if message.content is string else message.content[0].text -%}
{%- endfor -%}
{%- set turns = messages | rejectattr('role', 'equalto', 'system') | list -%}
{%- set block = SYSTEM_PREFIX + state.system + SYSTEM_SUFFIX if state.system or SYSTEM_ALWAYS else '' -%}
{{- HEAD -}}
{%- if not SYSTEM_IN_FIRST_TURN -%}{{- block -}}{%- endif -%}
{%- for message in turns -%}
{%- set said = namespace(text='', image=false) -%}
{%- if message.content is string -%}
{%- set said.text = '' if ONLY_IMAGES and message.role == 'user' else message.content -%}
{%- else -%}
{%- for part in message.content if part.type != 'text' or not ONLY_IMAGES or message.role != 'user' -%}
{%- set joint = IMAGE_JOINT if said.image or part.type != 'text' else ' ' -%}
{%- set said.text = said.text + (joint if said.text else '') + (part.text if part.type == 'text' else IMAGE) -%}
{%- set said.image = part.type != 'text' -%}
{%- endfor -%}
{%- endif -%}
{%- if message.role == 'user' -%}
{{- USER_PREFIX if loop.first else LATER_USER_PREFIX -}}
{%- if SYSTEM_IN_FIRST_TURN and loop.first -%}{{- block -}}{%- endif -%}
{{- said.text + USER_SUFFIX -}}
{%- if loop.last -%}
{{- ASSISTANT_OPEN -}}
{%- elif turns[loop.index0 + 1].role == 'assistant' -%}
{{- ASSISTANT_PREFIX + ANSWER_PREFIX -}}
{%- endif -%}
{%- else -%}
{{- said.text + ANSWER_END -}}
{%- endif -%}
{%- endfor -%}
"""

TEXTS = ("head", "system", "system_prefix", "system_suffix", "user_prefix", "user_suffix", "assistant_prefix",
         "answer_prefix", "answer_end")


def as_jinja(template: Template) -> str:
    """The template as one jinja text."""
    joint = " " if template.image_joint is None else template.image_joint
    later = template.user_prefix if template.later_user_prefix is None else template.later_user_prefix
    values: dict[str, str | bool] = {
        "IMAGE": template.image_prefix + IMAGE_MARK + template.image_suffix, "IMAGE_JOINT": joint,
        "LATER_USER_PREFIX": later, "ASSISTANT_OPEN": template.opened, "SYSTEM_ALWAYS": template.system_always,
        "SYSTEM_IN_FIRST_TURN": template.system_in_first_turn, "ONLY_IMAGES": template.ignores_questions,
        **{name.upper(): str(getattr(template, name)) for name in TEXTS},
    }
    constants = "".join(f"{{%- set {name} = {json.dumps(value, ensure_ascii=False)} -%}}\n"
                        for name, value in values.items())
    return constants + TURNS
