"""Nouns that a language model meets only to learn that it does not know them.

Ordinary nouns, ones made of syllables, and known words with an ending: so that any word can be copied into "I do not
know what a … is." None of them is ever shown or said to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from minigpt4.scenes.scene import KINDS
from minigpt4.scenes.words.languages import Language

ENGLISH_NOUNS = tuple("""
accordion acorn anchor angel ant antelope anvil apron aquarium arch armchair armor arrow atlas axe badge badger bag
bagel balcony balloon barn barrel basin basket basketball bat bathtub beaver bee beetle bell belt bench binder biscuit
bison blanket blender boot bowl box bracelet bread broccoli broom brush bucket buffalo building bull bus butterfly
button cabbage cabin cactus cage calculator calendar camel canoe cap carriage carrot-top cartoon cave ceiling cello
cereal chain chalk cheese cherry chest chick chimney church cigar clam cliff closet coat cobra coconut coin comb
compass computer cookie coral cork corn couch crab crane crib crocodile crown curtain cushion dam deer desk dice
dinosaur dish dolphin donkey donut dragon dress drill eagle ear earring egg elbow envelope eraser eye face factory
falcon fan farm farmer feather fence ferry finger fire fireplace flag flask flute fork fossil fountain fox freezer
fridge garage garden gate ghost girl glass glove goat goose gorilla grape grass hat hawk helicopter helmet hen hill
hippo honey hook hotel ice insect iron island jacket jaguar jar jeep jewel juice jungle kangaroo kettle kid kitchen
knee knife knight koala lake leaf leg leopard letter library lighthouse lime lizard lobster lock log magnet man map
mask medal melon microscope milk mitten mole moose mosquito moth mouse mug museum mushroom nail necklace needle nest
net nose notebook nurse oak octopus olive onion orchard ostrich otter oven owl ox paddle palm pan panda parachute
parrot pasta peach peacock peanut pear pen pencil pepper pet pie pigeon pillow pine pineapple pirate plane-tree plate
plum pond pony pool popcorn porch pot prince princess pumpkin puppet puzzle queen quilt rabbit-hole raccoon radio raft
rail rainbow rake rat razor ring road rock rooster root rope rug ruler sack sail sandal saucer saw scarf school
scissors screw seal seed shark shell shelf shield ship shovel shower sink skate skirt skull sled slide slipper smoke
snail snowman soap sock spider sponge squirrel stamp statue stool stove strawberry street suitcase swan sweater swing
sword tail tank taxi teacher teapot temple tie toad toaster toilet tomato tooth towel tower toy tractor tram tray
truck trumpet tub tunnel turkey turtle vase vest village wagon wall wallet walrus wasp watch waterfall whale wheel
whistle wing wolf woman worm yacht yarn zipper zoo person child baby boy dog-house bird airport beard bear beach-ball
""".split())

CHINESE_NOUNS = tuple("""
手风琴 橡子 船锚 天使 蚂蚁 羚羊 围裙 水族箱 拱门 扶手椅 箭 斧头 徽章 背包 阳台 气球 谷仓 木桶 篮子 蝙蝠 浴缸 海狸 蜜蜂
甲虫 铃铛 腰带 长凳 饼干 野牛 毯子 靴子 碗 盒子 手镯 面包 西兰花 扫帚 刷子 水桶 建筑 公牛 公交车 蝴蝶 纽扣 卷心菜 木屋
仙人掌 笼子 计算器 日历 骆驼 独木舟 帽子 马车 洞穴 天花板 大提琴 链子 粉笔 奶酪 樱桃 小鸡 烟囱 教堂 雪茄 蛤蜊 悬崖
衣柜 外套 椰子 硬币 梳子 指南针 电脑 珊瑚 玉米 螃蟹 起重机 婴儿床 鳄鱼 王冠 窗帘 坐垫 水坝 鹿 书桌 骰子 恐龙 盘子 海豚
驴 龙 裙子 老鹰 耳朵 耳环 鸡蛋 信封 橡皮 眼睛 脸 工厂 风扇 农场 农民 羽毛 栅栏 渡轮 手指 火 壁炉 旗子 长笛 叉子 化石
喷泉 狐狸 冰箱 车库 花园 女孩 杯垫 手套 山羊 鹅 大猩猩 葡萄 草 老虎机 直升机 头盔 母鸡 河马 蜂蜜 钩子 旅馆 冰 昆虫
熨斗 岛 夹克 罐子 珠宝 果汁 袋鼠 水壶 小孩 厨房 膝盖 刀 骑士 考拉 湖 叶子 腿 豹子 信 图书馆 灯塔 蜥蜴 龙虾 锁 原木
磁铁 男人 地图 面具 奖牌 甜瓜 显微镜 牛奶 鼹鼠 驼鹿 蚊子 飞蛾 老鼠 博物馆 蘑菇 钉子 项链 针 鸟巢 渔网 鼻子 护士 橡树
章鱼 橄榄 洋葱 果园 鸵鸟 水獭 烤箱 猫头鹰 棕榈树 平底锅 熊猫 降落伞 鹦鹉 桃子 孔雀 花生 梨 钢笔 铅笔 辣椒 馅饼 鸽子
枕头 松树 菠萝 海盗 盘碟 李子 池塘 泳池 爆米花 锅 王子 公主 南瓜 木偶 拼图 女王 被子 浣熊 收音机 木筏 彩虹 耙子 剃刀
戒指 道路 石头 公鸡 树根 绳子 地毯 尺子 麻袋 船帆 凉鞋 锯子 围巾 学校 剪刀 螺丝 海豹 种子 鲨鱼 贝壳 架子 盾牌 轮船
铲子 水槽 滑冰鞋 头骨 雪橇 滑梯 拖鞋 烟 蜗牛 雪人 肥皂 袜子 蜘蛛 海绵 松鼠 邮票 雕像 凳子 炉子 草莓 街道 手提箱 天鹅
毛衣 秋千 剑 尾巴 坦克 出租车 老师 茶壶 寺庙 领带 蟾蜍 烤面包机 马桶 番茄 牙齿 毛巾 高塔 玩具 拖拉机 电车 托盘 卡车
小号 隧道 火鸡 乌龟 花瓶 背心 村庄 墙 钱包 海象 黄蜂 手表 瀑布 鲸鱼 轮子 哨子 翅膀 狼 女人 虫子 游艇 毛线 拉链 动物园
人 孩子 婴儿 男孩 鸟 机场 胡子 熊
""".split())

_ONSETS = (
    "b", "br", "c", "ch", "cl", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pl", "qu",
    "r", "s", "sh", "sk", "sl", "st", "t", "th", "tr", "v", "w", "y", "z",
)
_RHYMES = (
    "ack", "ade", "ail", "amp", "and", "ard", "ark", "ath", "eck", "eel", "elt", "end", "erm", "ick", "ift", "ill",
    "ime", "ink", "irt", "ish", "ive", "ock", "oft", "ole", "oon", "ope", "orn", "oth", "uck", "umb", "urn", "ust",
)
_ENDINGS = (
    "er", "ing", "let", "ness", "ard", "ship", "holder", "maker", "box", "y", "ie", "o", "um", "wick",
)
_CHARACTERS = (
    "安白宝北本冰才草长春大德地东多方飞风福高光国海和红华黄火加江金京开可快兰乐力林龙米明木南农平青清秋人日三"
    "上生石十时水思四天田同土王文西下先小心新星雪阳一永友雨元远月云早正中竹子"
)
NUMBER_MADE = 2500
SHARE_OF_ORDINARY = 0.6


def unfamiliar_noun(language: Language, random: Random, fresh: float = 0.0) -> str:
    """A noun that the model is to say it does not know.

    Args:
        fresh: share of nouns that are made for this one question: the more of them, the better any word is copied.
    """
    if fresh and random.random() < fresh:
        return _fresh_english(random) if language == "en" else _fresh_chinese(random)
    ordinary = random.random() < SHARE_OF_ORDINARY
    return random.choice((ORDINARY if ordinary else MADE)[language])


def _fresh_english(random: Random) -> str:
    """Two to four syllables, or letters in any order; never a word of one syllable, which might be somebody's."""
    if random.random() < 0.5:
        return "".join(random.choice(_ONSETS) + random.choice(_RHYMES) for _ in range(random.choice((2, 2, 3))))
    return "".join(random.choice("bcdfghjklmnpqrstvwxz") + random.choice(("a", "e", "i", "o", "u", "ai", "ou"))
                   for _ in range(random.randint(2, 4))) + random.choice("bdgkmprtxz")


def _fresh_chinese(random: Random) -> str:
    """Two to four characters of the common ones and the rare, so that their bytes are copied and not remembered."""
    return "".join(chr(random.randint(0x4E00, 0x9FA5)) for _ in range(random.choice((2, 2, 2, 3, 4))))


def _made_english(random: Random) -> str:
    if random.random() < 0.25:
        return random.choice(KINDS) + random.choice(_ENDINGS)
    syllables = [random.choice(_ONSETS) + random.choice(_RHYMES) for _ in range(random.choice((1, 2, 2)))]
    return "".join(syllables) + (random.choice(_ENDINGS) if random.random() < 0.4 else "")


def _made_chinese(random: Random) -> str:
    return "".join(random.choice(_CHARACTERS) for _ in range(random.choice((2, 2, 2, 3, 3, 4))))


def _distinct(make: Callable[[Random], str], seed: int) -> tuple[str, ...]:
    random = Random(seed)
    return tuple(sorted({make(random) for _ in range(NUMBER_MADE)}))


ORDINARY: Mapping[Language, tuple[str, ...]] = {"en": ENGLISH_NOUNS, "zh": CHINESE_NOUNS}
MADE: Mapping[Language, tuple[str, ...]] = {"en": _distinct(_made_english, 1), "zh": _distinct(_made_chinese, 2)}
