"""A template of ours in jinja, for programs that want `chat_template.jinja`.

It writes the same text as `Template.pieces`; ids come from the processor, which encodes piece by piece.
"""

from __future__ import annotations

import json
from dataclasses import replace

from minigpt4.conversation.pieces import Template
from minigpt4.records.conversations import IMAGE_MARK

TURNS = """\
{%- set state = namespace(system=SYSTEM, before='', after_user=false) -%}
{%- for message in messages if message.role == 'system' -%}
{%- set state.system = message.content if message.content is string else message.content[0].text -%}
{%- endfor -%}
{%- set turns = messages | rejectattr('role', 'equalto', 'system') | list -%}
{{- state.system + SYSTEM_SUFFIX -}}
{%- for message in turns -%}
{%- set said = namespace(text='', images='') -%}
{%- if message.content is string -%}
{%- set said.text = message.content -%}
{%- else -%}
{%- for block in message.content -%}
{%- set space = ' ' if said.text else '' -%}
{%- if block.type == 'text' -%}
{%- set said.text = said.text + space + block.text -%}
{%- else -%}
{%- set said.text = said.text + space + IMAGE -%}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if message.role == 'user' -%}
{{- USER_PREFIX + said.text + USER_SUFFIX -}}
{%- if loop.last -%}
{{- ASSISTANT_OPEN -}}
{%- elif turns[loop.index0 + 1].role == 'assistant' -%}
{{- ASSISTANT_PREFIX -}}
{%- endif -%}
{%- else -%}
{{- said.text + ANSWER_END -}}
{%- endif -%}
{%- endfor -%}
"""


def as_jinja(template: Template) -> str:
    """The template as one jinja text."""
    opened = replace(template, assistant_open=template.assistant_open or template.assistant_prefix)
    image = template.image_prefix + IMAGE_MARK + template.image_suffix
    names = {"IMAGE": image, **{name.upper(): getattr(opened, name) for name in (
        "system_suffix", "system", "user_prefix", "user_suffix", "assistant_prefix", "assistant_open", "answer_end")}}
    constants = "".join(f"{{%- set {name} = {json.dumps(text, ensure_ascii=False)} -%}}\n"
                        for name, text in names.items())
    return constants + TURNS
