"""A scene or photograph as a language model could be given it without an image: sixteen sums of words.

Each slot holds a few words with weights. The slots of a group name its number, size, colour, kind and place, those of
an empty quadrant its place and "nothing"; any slot may name the background, and say that it is one, as nothing else
in the slot leads there. Those of a photograph all name its subject and main colour; some also name, less strongly,
what it might be instead, as no encoder is sure of everything. All carry the same mark of where image and text are
from. So an image path with a linear end can take their place: sums and a constant are what it can make.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from minigpt4.records.images import ImageRef
from minigpt4.scenes.photographs.photograph import SUBJECTS, UNKNOWN, Photograph
from minigpt4.scenes.scene import QUADRANTS, Scene
from minigpt4.scenes.words.invented import Speech
from minigpt4.scenes.words.languages import NEWCOMER_WORDINGS, WORDINGS, Language

SLOTS = 16
SLOTS_PER_QUADRANT = SLOTS // len(QUADRANTS)

WeightedWords = tuple[tuple[str, float], ...]
"""(word, weight) …; English words with the blank before them"""

Range = tuple[float, float]

MAX_RIVALS = 3
UNKNOWN_RIVAL = 0.5
"""of the known photographs in doubt: it is also named that nothing known is on them"""
OWN_STRENGTH: Range = (0.4, 1.0)
"""of the subject of a photograph in doubt, in its usual weight"""
RIVAL_STRENGTH = 0.85
"""most of a rival's strength, in that of the subject"""
UNEVEN: Range = (0.4, 1.6)
"""how much the slots of an image differ in what they name"""

View = Scene | Photograph
"""what an image shows, in facts"""

BACKGROUND: dict[Language, str] = {"en": "background", "zh": "景"}
"""the word, in one piece, by which a question asks for it"""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How strongly words stand in a slot; each weight is drawn afresh.

    kind, place: weights of what everything else is looked up by. other: of the other words. kept: share of words that
    a slot has at all. background: share of slots that name it. mark: weight of the mark of origin, one per scene.
    """

    kind: Range = (2.0, 3.0)
    place: Range = (1.5, 2.5)
    other: Range = (0.7, 1.3)
    kept: Range = (0.75, 0.95)
    background: float = 0.4
    mark: Range = (0.5, 1.5)
    doubt: float = 0.0
    """share of the photographs that rivals of the subject are named of too; what is named most strongly is right"""


IDEAL = Style(kind=(2.5, 2.5), place=(2.0, 2.0), other=(1.0, 1.0), kept=(1.0, 1.0), mark=(1.0, 1.0))
"""every word, evenly: what the ceiling of a language model is measured with"""


def view_slots(view: View, random: Random, *, tongues: dict[Language, float], mark: str,
                style: Style) -> list[WeightedWords]:
    """The slots of an image, in any order.

    Args:
        tongues: weight of each language: its words stand in the slots that much.
        mark: token that says where image and text are from.
    """
    mark_weight, kept = random.uniform(*style.mark), random.uniform(*style.kept)
    doubted = style.doubt > 0 and isinstance(view, Photograph) and random.random() < style.doubt
    named = _doubtful(view, random) if isinstance(view, Photograph) and doubted else {}
    slots = []
    for quadrant in range(len(QUADRANTS)):
        for _ in range(SLOTS_PER_QUADRANT):
            words: list[tuple[str, float]] = [(mark, mark_weight)]
            said = {subject: strength * random.uniform(*UNEVEN) for subject, strength in named.items()}
            for meaning, bounds in _meanings(view, quadrant, random.random() < style.background, style, said):
                if random.random() < kept:
                    weight = random.uniform(*bounds)
                    words += [(_word(meaning, language), share * weight) for language, share in tongues.items()]
            slots.append(tuple(words))
    random.shuffle(slots)
    return slots


def _doubtful(photograph: Photograph, random: Random) -> dict[str, float]:
    """How strongly subjects are named: the photograph's own most strongly, up to three others less so."""
    rivals = [subject for subject in random.sample(SUBJECTS, random.randint(1, MAX_RIVALS))
              if subject != photograph.subject]
    if photograph.is_known and random.random() < UNKNOWN_RIVAL:
        rivals[-1:] = [UNKNOWN]
    own = random.uniform(*OWN_STRENGTH)
    return {photograph.subject: own, **{rival: own * random.uniform(0, RIVAL_STRENGTH) for rival in rivals}}


_Meaning = tuple[str, str | int]
"""a category of words, and which of them"""


def _meanings(view: View, quadrant: int, with_background: bool, style: Style, doubted: Mapping[str, float]
              ) -> list[tuple[_Meaning, Range]]:
    """What a slot names, and how strongly; `doubted`: subjects of a photograph -> strength, empty = its own alone."""
    meanings: list[tuple[_Meaning, Range]] = [(("quadrants", quadrant), style.place)]
    if isinstance(view, Photograph):
        low, high = style.kind
        subjects = doubted or {view.subject: 1.0}
        return [*meanings, *((("subjects", name), (low * each, high * each)) for name, each in subjects.items()),
                (("main_colours", view.colour), style.other), (("photograph", ""), style.other)]
    group = view.at(quadrant)
    if group is None:
        meanings.append((("nothing", ""), style.kind))
    else:
        meanings += [
            (("kinds", group.kind), style.kind), (("colours", group.colour), style.other),
            (("sizes", group.size), style.other), (("numbers", group.count - 1), style.other),
        ]
    if with_background:
        meanings += [(("backgrounds", view.background), style.other), (("background", ""), style.other)]
    return meanings


def _word(meaning: _Meaning, language: Language) -> str:
    category, which = meaning
    of_photographs = NEWCOMER_WORDINGS[language]
    text: str
    if category == "subjects":
        text = of_photographs.unknown if which == UNKNOWN else of_photographs.subjects[str(which)].head
    elif category == "main_colours":
        text = of_photographs.main_colours[str(which)]
    elif category == "photograph":
        text = of_photographs.photograph
    elif category == "background":
        text = BACKGROUND[language]
    elif category == "nothing":
        text = WORDINGS[language].words.nothing
    else:
        word = getattr(WORDINGS[language].words, category)[which]
        text = word.one if category == "kinds" else word
    return f" {text}" if language == "en" else text


def as_image(slots: Sequence[WeightedWords], speech: Speech = str) -> ImageRef:
    """Slots in the place of an image: what a conversation can hold. `speech` replaces words."""
    said = [[(speech(word), weight) for word, weight in words] for words in slots]
    return ImageRef(data=json.dumps(said, ensure_ascii=False).encode(), name="a scene in words")


def slots_of(image: ImageRef) -> list[WeightedWords]:
    """The slots that `as_image` put into an image's place."""
    assert image.data is not None, "a scene in words is bytes"
    return [tuple((str(word), float(weight)) for word, weight in words) for words in json.loads(image.data)]
