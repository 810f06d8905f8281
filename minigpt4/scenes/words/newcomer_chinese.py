"""What newcomers ask and hear in Chinese."""

from __future__ import annotations

from minigpt4.scenes.photographs.photograph import MAIN_COLOURS, SUBJECTS
from minigpt4.scenes.words.newcomer import NewcomerType, NewcomerWording, Noun

SUBJECT_WORDS = ("飞机", "雏菊", "蒲公英", "摩托车", "玫瑰", "衬衫", "鞋子", "向日葵", "裤子", "郁金香")
COLOUR_WORDS = ("黑色", "白色", "灰色", "棕色", "米色", "红色", "橙色", "黄色", "绿色", "蓝色", "紫色", "粉色")

CHINESE_NEWCOMER = NewcomerWording(
    subjects={name: Noun(word, word, word) for name, word in zip(SUBJECTS, SUBJECT_WORDS, strict=True)},
    main_colours=dict(zip(MAIN_COLOURS, COLOUR_WORDS, strict=True)),
    unknown="未知",
    photograph="照片",
    questions={
        NewcomerType.WHAT: (
            "这是什么？", "图中是什么？", "图里有什么？", "这张图片里有什么？", "照片里有什么？",
            "这张图片显示了什么？", "这是什么东西？", "这张照片里是什么？",
        ),
        NewcomerType.SEE: ("你看到了什么？", "你看见了什么？", "你能看到什么？", "你在图中看到了什么？"),
        NewcomerType.IS_THERE: (
            "有{bare}吗？", "图中有{bare}吗？", "图中有没有{bare}？", "你能看到{bare}吗？", "这是{bare}吗？",
        ),
        NewcomerType.MAIN_COLOUR: (
            "这是什么颜色？", "它是什么颜色的？", "主要是什么颜色？", "是什么颜色的？", "主要颜色是什么？",
        ),
        NewcomerType.TELL: ("{bare}是什么颜色的？", "{bare}在哪里？", "说说{bare}。", "请描述{bare}。"),
        NewcomerType.UNFAMILIAR: (
            "有{bare}吗？", "有{bare}吗？", "图中有{bare}吗？", "图中有没有{bare}？", "你能看到{bare}吗？",
            "这是{bare}吗？", "{bare}在哪里？", "{bare}是什么颜色的？", "请描述{bare}。", "{bare}是什么？",
        ),
        NewcomerType.UNTAUGHT: (
            "为什么？", "这是谁做的？", "多少钱？", "天气怎么样？", "这是在哪里拍的？", "什么时候拍的？",
            "有几个人？", "他们是谁？", "接下来会发生什么？", "它有多重？", "这是用来做什么的？", "上面写了什么？",
            "现在几点？", "这是真的吗？", "你喜欢吗？", "它在做什么？", "请写一个故事。", "这里叫什么名字？",
        ),
        NewcomerType.SAME: (
            "有什么相同？", "有什么相同之处？", "两张图有什么相同？", "它们有什么共同点？", "两张图片都有什么？",
        ),
        NewcomerType.HELLO: ("你好", "你好！", "您好", "嗨", "早上好", "晚上好"),
        NewcomerType.ABILITIES: ("你能做什么？", "你是谁？", "你知道什么？", "帮助", "我可以问你什么？", "你会什么？"),
    },
    what_photograph="这是一张{one}的照片。",
    what_drawing="这是一幅画，画着{groups}。",
    see="我看到{one}。",
    do_not_know_this="我不知道这是什么。",
    there_is="是的，有{one}。",
    there_is_not="没有{bare}。",
    no_such="没有{bare}。",
    mainly="主要是{colour}的。",
    colour_of_one="{group}是{colour}的。",
    colours_of_groups="{group}是{colour}的",
    colours_joint=("，", "。"),
    only_main="我只知道图片主要是{colour}的。",
    where_subject="就在图中。",
    do_not_know="我不知道。",
    describe_photograph="这是一张{one}的照片。主要是{colour}的。",
    describe_unknown="我不知道这是什么。主要是{colour}的。",
    caption="一张{one}的照片",
    caption_with_colour="一张{one}的照片，主要是{colour}的",
    caption_unknown="一张未知的图片，主要是{colour}的",
    both="两张图都有{one}。",
    nothing_same="没有相同之处。",
    conjunction="和",
    comma="、",
    unfamiliar="我不知道{bare}是什么。",
    hello=("你好！请给我看一张图片，然后提问。", "你好！请问我关于图片的问题。"),
    abilities="我回答关于图片的问题。我认识绘制的16种东西和8种颜色，以及花、衣服、飞机和摩托车的照片。",
    show_me="请先给我看一张图片。",
)
