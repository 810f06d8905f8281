"""Nouns that no text of any training holds, English and Chinese: a model that was never told must say so.

`tests/scenes/test_newcomer.py` holds the list apart from every word that training can write.
"""

from __future__ import annotations

UNFAMILIAR_NOUNS = {
    "cat": "猫咪", "goldfish": "金鱼", "horse": "骏马", "elephant": "大象", "banana": "香蕉", "pizza": "披萨",
    "bicycle": "自行车", "train": "火车", "guitar": "吉他", "laptop": "笔记本", "chair": "椅子", "table": "桌子",
    "bottle": "瓶子", "spoon": "勺子", "bridge": "桥梁", "mountain": "高山", "river": "河流", "penguin": "企鹅",
    "giraffe": "长颈鹿", "zebra": "斑马", "lion": "狮子", "monkey": "猴子",
    "snake": "毒蛇", "frog": "青蛙", "duck": "鸭子", "cow": "奶牛", "sheep": "绵羊", "pig": "小猪", "apple": "苹果",
    "lemon": "柠檬", "potato": "土豆", "cake": "蛋糕", "sandwich": "三明治", "clock": "时钟", "camera": "相机",
    "telephone": "电话", "television": "电视", "sofa": "沙发", "bed": "床铺", "door": "房门", "window": "窗户",
    "ladder": "梯子", "hammer": "锤子", "piano": "钢琴", "drum": "鼓手", "violin": "小提琴", "rocket": "火箭",
    "robot": "机器人", "castle": "城堡", "tent": "帐篷", "kite": "风筝", "doll": "娃娃",
    "candle": "蜡烛", "lamp": "台灯", "mirror": "镜子", "book": "书本", "newspaper": "报纸",
}
"""English -> Chinese"""
