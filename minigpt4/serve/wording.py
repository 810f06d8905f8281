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
    placeholder: str
    stop: str
    retry: str
    clear: str
    settings: str
    temperature: str
    temperature_info: str
    beams: str
    beams_info: str
    length: str
    length_info: str
    examples: str
    dark: str
    empty: str
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
    how_to="Drop, paste or choose one or more images, ask about them, and keep asking.",
    placeholder="Ask about an image …",
    stop="Stop",
    retry="Answer again",
    clear="Clear",
    settings="Settings",
    temperature="Temperature",
    temperature_info="0 = always the likeliest word; more = more varied",
    beams="Beams",
    beams_info="more than 1: several answers are followed and the likeliest is shown, at its end",
    length="Longest answer (tokens)",
    length_info="an answer that reaches it ends with […]",
    examples="Examples",
    dark="Light / dark",
    empty="No conversation yet",
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
    how_to="拖入、粘贴或选择一张或多张图片，提出问题，并可以继续追问。",
    placeholder="请就图片提问……",
    stop="停止",
    retry="重新回答",
    clear="清空",
    settings="设置",
    temperature="温度",
    temperature_info="0 = 总是取最可能的词；数值越大，回答越多样",
    beams="束宽",
    beams_info="大于 1 时同时跟踪多个回答，最后显示最可能的一个",
    length="回答的最大长度（词元）",
    length_info="达到该长度的回答以 […] 结尾",
    examples="示例",
    dark="浅色 / 深色",
    empty="还没有对话",
    cut_off="回答已达到最大长度。",
    stopped="已停止。",
    out_of_time="回答用时过长，已终止。",
    idle="长时间没有提问，之前的对话已结束；现在是新的对话。",
    failed="服务器出错，无法回答这个问题；详情见服务器日志。",
    only_first_frame="{name}：动画图片只看第一帧。",
    mistakes={
        "chat.empty": "还没有提问：请写下问题或放入一张图片。",
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
        "page.busy": "现在提问的人太多，请稍后再试。",
        "page.busy_self": "上一个问题还没有回答完，请等待或先停止。",
        "page.large_file": "文件太大（{what}），请先缩小图片。",
    },
)

WORDINGS: Mapping[str, Wording] = {"en": ENGLISH, "zh": CHINESE}
