"""Which of the two languages a sentence's Chinese characters belong to."""

from collections.abc import Sequence

from afterbase.verify.language.words import Sentence

_CHINESE = frozenset(
    "这那们吗呢吧很沒說让给还为个对过时她你它這們嗎讓啊哪怎么麼谁您咱说开业东车书见长门问间马鸟鱼云买卖读写认识话语请课谢边进远"
    "运选连适达难题习样机权极构标树检欢岁师带帮应广战护报担损换择术众优传价伟侧债倾减击创别则刚办务动劳势华单卫厂压历变"
    "听员响团园围图圆圣场块坏坚处备复头奖妇孙审宾导层岛币张弹强归录总态怀惊惯愿执扩扫抢拥挥据敌显杀枪桥梦汉汤泪泽洁济测"
    "浓灭炼热爱环现电畅疗盐监盘确码础离种积稳竞笔签简类紧红级约纯纲纸线练组细织终绍经结络绝统绩继续维绿缓编缘缩罗职联聪肤"
    "胜脑脚脸艺节荣药获营蓝虑虽补观规视觉览触订计讨训议记讲许论设访证评词译试该详误调谈负财责败货质贫购贵费资赛赞赢赶趋转"
    "轮软轻载较输迟递遗邮邻释针钟钢钱铁银错键锁镇闪闭闻队阳阴阵阶际陆险顶项顺须顾预领频颜额风飞饭饮馆驱验鸡齐龙"
)
"""Characters of Chinese that Japanese does not write."""

_RARE_IN_KANJI = frozenset("我你他了的是不在去就也都想要能可以把得没有到和")

_JAPANESE = frozenset("気駅図円発対歳込働辻峠畑枠匂塩処剣検験権沢択釈駄桜関単厳変続経済総絵県団囲徳徴歩毎渋焼収辺")


def speaks_japanese(read: Sequence[Sentence]) -> bool:
    """Whether a text's characters are Japanese, as kana or, without any, characters of Japan alone tell."""
    kana = sum(len(t) for s in read for kind, t in s if kind == "kana")
    han = [t for s in read for kind, t in s if kind == "han"]
    if kana:
        return kana >= 0.1 * (kana + sum(map(len, han))) and (kana > 1 or all(_CHINESE.isdisjoint(t) for t in han))
    return any(not _JAPANESE.isdisjoint(t) for t in han) and all(_CHINESE.isdisjoint(t) for t in han)


def chinese_or_japanese(sentence: Sentence, japanese: bool) -> str:
    """Kana make a sentence Japanese, bar one word of them in Chinese; a Japanese text may have Chinese sentences."""
    han = "".join(t for kind, t in sentence if kind == "han")
    kana = [t for kind, t in sentence if kind == "kana"]
    chinese = sum(2 if c in _CHINESE else c in _RARE_IN_KANJI for c in han)
    if chinese >= 3 and len(kana) <= 1:
        return "zh"
    letters = sum(map(len, kana))
    return "ja" if japanese or (letters >= 3 and letters >= 0.25 * (letters + len(han))) else "zh"
