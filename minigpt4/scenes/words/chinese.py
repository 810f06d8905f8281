"""Scenes in Chinese: the same sentences, with the one measure word 个 for all things."""

from __future__ import annotations

from minigpt4.scenes.scene import BACKGROUNDS, COLOURS, KINDS, RELATIONS, SIZES
from minigpt4.scenes.words.wording import QuestionType, Wording, Words, same

KIND_WORDS = (
    "圆形", "正方形", "三角形", "星星", "爱心", "树", "房子", "汽车",
    "鱼", "船", "杯子", "花", "钥匙", "月亮", "云", "雨伞",
)
COLOUR_WORDS = ("红色", "橙色", "黄色", "绿色", "蓝色", "紫色", "粉色", "黑色")

WORDS = Words(
    kinds={kind: same(word) for kind, word in zip(KINDS, KIND_WORDS, strict=True)},
    colours=dict(zip(COLOURS, COLOUR_WORDS, strict=True)),
    sizes=dict(zip(SIZES, ("小", "大"), strict=True)),
    numbers=("一", "两", "三", "四"),
    quadrants=("左上角", "右上角", "左下角", "右下角"),
    backgrounds=dict(zip(BACKGROUNDS, ("白色", "灰色", "天空", "草地", "沙滩"), strict=True)),
    relations=dict(zip(RELATIONS, ("左边", "右边", "上面", "下面"), strict=True)),
    nothing="什么也没有",
    yes="是的",
    no="没有",
)

CHINESE = Wording(
    words=WORDS,
    group=same("{number}个{size}的{colour}的{thing}"),
    plain_group=same("{number}个{colour}的{thing}"),
    questions={
        QuestionType.COLOUR: (same("{thing}是什么颜色的？"), same("{thing}的颜色是什么？")),
        QuestionType.COUNT: (same("有几个{thing}？"), same("图中有多少个{thing}？")),
        QuestionType.EXISTS: (same("有{colour}的{thing}吗？"), same("图中有没有{colour}的{thing}？")),
        QuestionType.WHERE: (same("{thing}在哪里？"), same("{thing}在哪个角？")),
        QuestionType.WHAT_IS_AT: (same("{place}有什么？"), same("{place}是什么？")),
        QuestionType.RELATION: (same("{thing}的{relation}有什么？"), same("{thing}的{relation}是什么？")),
        QuestionType.SIZE: (same("{thing}是大的还是小的？"), same("{thing}有多大？")),
        QuestionType.BACKGROUND: (same("背景是什么？"), same("图的背景是什么？")),
        QuestionType.KINDS: (same("图中有几种东西？"), same("有多少种东西？")),
        QuestionType.ABOUT: (same("说说{thing}。"), same("请描述{thing}。")),
        QuestionType.DESCRIPTION: (same("请详细描述这张图片。"), same("请看这张图片，说说你看到了什么。")),
        QuestionType.CAPTION: (same("请给这张图片写一个标题。"), same("图片的标题是什么？")),
    },
    answers={
        QuestionType.COLOUR: same("{thing}是{colour}的。"),
        QuestionType.COUNT: same("有{number}个{thing}。"),
        QuestionType.EXISTS: same("是的，有{colour}的{thing}。"),
        QuestionType.WHERE: same("{thing}在{place}。"),
        QuestionType.WHAT_IS_AT: same("{place}有{group}。"),
        QuestionType.RELATION: same("{other}的{relation}有{plain_group}。"),
        QuestionType.SIZE: same("{thing}是{size}的。"),
        QuestionType.BACKGROUND: same("背景是{background}。"),
        QuestionType.KINDS: same("图中有{number}种东西。"),
        QuestionType.ABOUT: same("有{number}个{thing}，是{size}的，{colour}的，在{place}。"),
    },
    nothing_at="{place}什么也没有。",
    nothing_related=same("{thing}的{relation}什么也没有。"),
    exists_not="没有{colour}的{thing}。",
    other=same("{thing}"),
    description=(same("图中有{number}种东西。"), same("{place}有{group}。"), "背景是{background}。"),
    caption=(same("{place}有{group}"), "背景是{background}"),
    caption_comma="，",
    join="",
)
