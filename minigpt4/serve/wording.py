"""The words of the page, in English and Chinese, and sentences for the mistakes that users make there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from minigpt4.common.errors import UserError


@dataclass(frozen=True)
class Wording:
    """Every word of the page in one language."""

    name: str
    """as its own speakers write it"""
    title: str
    how_to: str
    how_it_learned: str
    placeholder: str
    attach: str
    remove: str
    send: str
    camera: str
    take_photo: str
    close: str
    no_camera: str
    """`{why}` is the browser's own word for it"""
    larger: str
    """what a click on an image does"""
    keys: str
    stop: str
    retry: str
    edit: str
    delete: str
    copy: str
    copied: str
    as_markdown: str
    as_json: str
    clear: str
    settings: str
    temperature: str
    temperature_info: str
    beams: str
    beams_info: str
    length: str
    length_info: str
    top_p: str
    top_p_info: str
    seed: str
    seed_info: str
    system: str
    system_info: str
    no_system: str
    """instead of `system_info` where the model has no place for one"""
    language: str
    dark: str
    empty: str
    conversation: str
    """heading of a downloaded conversation; `{name}` is the model's"""
    asked_by: str
    answered_by: str
    measure: str
    cut_off: str
    stopped: str
    out_of_time: str
    idle: str
    failed: str
    only_first_frame: str
    mistakes: Mapping[str, str] = field(default_factory=dict)
    """error code -> sentence; `{what}` is the detail in English. A code that is not here is reported in English"""

    def sentence(self, error: UserError) -> str:
        """A mistake as a sentence of this language."""
        place = f"{PurePath(error.where).name}: " if error.where else ""
        if pattern := self.mistakes.get(error.code):
            return place + pattern.format(what=error.what)
        return f"{place}{error.what}; {error.fix}" if error.fix else f"{place}{error.what}"


ENGLISH = Wording(
    name="English",
    title="Chat about images",
    how_it_learned="See how it learned",
    how_to="Drop, paste or choose one or more images, ask about them, and keep asking.",
    placeholder="Ask about an image …",
    attach="Add images",
    remove="Remove this image",
    send="Send",
    camera="Camera",
    take_photo="Take the photo",
    close="Close",
    no_camera="The camera cannot be used ({why}). Allow it in the browser, or choose an image file.",
    larger="Show the original image",
    keys="Enter sends · Shift+Enter begins a new line · Esc stops",
    stop="Stop",
    retry="Retry",
    edit="Edit",
    delete="Delete",
    copy="Copy",
    copied="Copied",
    as_markdown="↓ Markdown",
    as_json="↓ JSON",
    clear="New chat",
    settings="Settings",
    temperature="Temperature",
    temperature_info="0 = always the likeliest word; more = more varied",
    beams="Beams",
    beams_info="more than 1: several answers are followed and the likeliest is shown, at its end",
    length="Longest answer (tokens)",
    length_info="an answer that reaches it ends with […]",
    top_p="Top-p",
    top_p_info="with a temperature above 0: words are drawn from the likeliest ones that make up this share",
    seed="Seed",
    seed_info="with a temperature above 0: the same seed gives the same answer; empty = another one each time",
    system="System text",
    system_info="said to the model before the conversation; empty = the model's own; counts from the next answer on",
    no_system="This model was trained without a system text: its template has no place for one.",
    language="Language",
    dark="Light / dark",
    empty="What would you like to know about an image?",
    conversation="Conversation with {name}",
    asked_by="You",
    answered_by="Model",
    measure="{tokens} tokens · {seconds} s · {rate} tokens/s",
    cut_off="The answer reached the longest length.",
    stopped="Stopped.",
    out_of_time="The answer took too long and was ended.",
    idle="Nothing was asked for a long time, so the conversation had ended; this is a new one.",
    failed="This question could not be answered because of an error on the server; its log says more.",
    only_first_frame="{name}: of an animated image only the first frame is looked at.",
)

CHINESE = Wording(
    name="中文",
    title="看图对话",
    how_it_learned="看看它是怎样学会的",
    how_to="拖入、粘贴或选择一张或多张图片，提出问题，并可以继续追问。",
    placeholder="请就图片提问……",
    attach="添加图片",
    remove="移除这张图片",
    send="发送",
    camera="拍照",
    take_photo="拍摄",
    close="关闭",
    no_camera="无法使用摄像头（{why}）。请在浏览器中允许使用，或选择图片文件。",
    larger="查看原图",
    keys="Enter 发送 · Shift+Enter 换行 · Esc 停止",
    stop="停止",
    retry="重新回答",
    edit="编辑",
    delete="删除",
    copy="复制",
    copied="已复制",
    as_markdown="↓ Markdown",
    as_json="↓ JSON",
    clear="新对话",
    settings="设置",
    temperature="温度",
    temperature_info="0 = 总是取最可能的词；数值越大，回答越多样",
    beams="束宽",
    beams_info="大于 1 时同时跟踪多个回答，最后显示最可能的一个",
    length="回答的最大长度（词元）",
    length_info="达到该长度的回答以 […] 结尾",
    top_p="Top-p",
    top_p_info="温度大于 0 时有效：只从累计概率达到该值的最可能的词中抽取",
    seed="随机种子",
    seed_info="温度大于 0 时有效：种子相同，回答相同；留空则每次不同",
    system="系统提示词",
    system_info="对话开始前给模型的说明；留空则使用模型自带的；从下一个回答起生效",
    no_system="该模型训练时没有系统提示词，其对话模板中没有它的位置。",
    language="语言",
    dark="浅色 / 深色",
    empty="关于图片，想问些什么？",
    conversation="与 {name} 的对话",
    asked_by="提问",
    answered_by="模型",
    measure="{tokens} 个词元 · {seconds} 秒 · {rate} 词元/秒",
    cut_off="回答已达到最大长度。",
    stopped="已停止。",
    out_of_time="回答用时过长，已终止。",
    idle="长时间没有提问，之前的对话已结束；现在是新的对话。",
    failed="服务器出错，无法回答这个问题；详情见服务器日志。",
    only_first_frame="{name}：动画图片只看第一帧。",
    mistakes={
        "chat.empty": "还没有提问：请写下问题或放入一张图片。",
        "chat.mark": "问题中不能含有图片标记，请直接放入图片。",
        "chat.nothing_to_retry": "还没有回答：请先提问。",
        "chat.too_long": "对话太长，请清空后重新开始，或减小回答长度（{what}）。",
        "image.empty": "图片文件是空的。",
        "image.format": "这不是可以读取的图片（{what}）。",
        "image.small": "图片太小（{what}）。",
        "image.large": "图片太大，请先缩小（{what}）。",
        "image.truncated": "图片数据不完整，请重新下载。",
        "image.damaged": "图片数据已损坏（{what}）。",
        "image.missing": "服务器上已没有这张图片，请重新上传。",
        "page.long_question": "问题太长，请缩短（{what}）。",
        "page.many_images": "图片太多，请减少图片（{what}）。",
        "page.knobs": "设置超出了允许的范围。",
        "page.long_system": "系统提示词太长，请缩短（{what}）。",
        "page.busy": "现在提问的人太多，请稍后再试。",
        "page.busy_self": "上一个问题还没有回答完，请等待或先停止。",
        "page.large_file": "文件太大（{what}），请先缩小图片。",
    },
)

WORDINGS: Mapping[str, Wording] = {"en": ENGLISH, "zh": CHINESE}
