"""Scenes in English."""

from __future__ import annotations

import re

from minigpt4.scenes.scene import BACKGROUNDS, COLOURS, KINDS, QUADRANTS, RELATIONS, SIZES
from minigpt4.scenes.words.wording import Form, QuestionType, Wording, Words, same

PLURALS = {kind: f"{kind}s" for kind in KINDS} | {"fish": "fish"}

WORDS = Words(
    kinds={kind: Form(kind, PLURALS[kind]) for kind in KINDS},
    colours={colour: colour for colour in COLOURS},
    sizes={size: size for size in SIZES},
    numbers=("one", "two", "three", "four"),
    quadrants=QUADRANTS,
    backgrounds=dict(zip(BACKGROUNDS, ("white", "grey", "the sky", "a meadow", "a beach"), strict=True)),
    relations=dict(zip(RELATIONS, ("to the left of", "to the right of", "above", "below"), strict=True)),
    nothing="nothing",
    yes="yes",
    no="no",
)


def with_articles(text: str) -> str:
    """an orange star, an umbrella"""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


ENGLISH = Wording(
    words=WORDS,
    group=Form("a {size} {colour} {thing}", "{number} {size} {colour} {things}"),
    plain_group=Form("a {colour} {thing}", "{number} {colour} {things}"),
    questions={
        QuestionType.COLOUR: (
            Form("What colour is the {thing}?", "What colour are the {things}?"),
            Form("What color is the {thing}?", "What color are the {things}?"),
        ),
        QuestionType.COUNT: (same("How many {things} are there?"), same("How many {things} can you see?")),
        QuestionType.EXISTS: (same("Is there a {colour} {thing}?"), same("Can you see a {colour} {thing}?")),
        QuestionType.WHERE: (
            Form("Where is the {thing}?", "Where are the {things}?"),
            Form("In which corner is the {thing}?", "In which corner are the {things}?"),
        ),
        QuestionType.WHAT_IS_AT: (same("What is at the {place}?"), same("What can you see at the {place}?")),
        QuestionType.RELATION: (
            Form("What is {relation} the {thing}?", "What is {relation} the {things}?"),
            Form("What can you see {relation} the {thing}?", "What can you see {relation} the {things}?"),
        ),
        QuestionType.SIZE: (
            Form("Is the {thing} big or small?", "Are the {things} big or small?"),
            Form("How big is the {thing}?", "How big are the {things}?"),
        ),
        QuestionType.BACKGROUND: (same("What is the background?"), same("What is in the background?")),
        QuestionType.KINDS: (
            same("How many kinds of things are there?"), same("How many kinds of things can you see?"),
        ),
        QuestionType.ABOUT: (
            Form("Tell me about the {thing}.", "Tell me about the {things}."),
            Form("Describe the {thing}.", "Describe the {things}."),
        ),
        QuestionType.DESCRIPTION: (
            same("Describe this image in detail."),
            same("Take a look at this image and describe what you notice."),
            same("Please provide a detailed description of the picture."),
            same("Could you describe the contents of this image for me?"),
        ),
        QuestionType.CAPTION: (same("Give this image a short caption."), same("Caption this image.")),
    },
    answers={
        QuestionType.COLOUR: Form("The {thing} is {colour}.", "The {things} are {colour}."),
        QuestionType.COUNT: Form("There is {number} {thing}.", "There are {number} {things}."),
        QuestionType.EXISTS: same("Yes, there is a {colour} {thing}."),
        QuestionType.WHERE: Form("The {thing} is at the {place}.", "The {things} are at the {place}."),
        QuestionType.WHAT_IS_AT: Form("There is {group} at the {place}.", "There are {group} at the {place}."),
        QuestionType.RELATION: Form("There is {plain_group} {relation} {other}.",
                                    "There are {plain_group} {relation} {other}."),
        QuestionType.SIZE: Form("The {thing} is {size}.", "The {things} are {size}."),
        QuestionType.BACKGROUND: same("The background is {background}."),
        QuestionType.KINDS: Form("There is {number} kind of thing.", "There are {number} kinds of things."),
        QuestionType.ABOUT: Form("The {thing} is {size} and {colour}. It is at the {place}.",
                                 "The {number} {things} are {size} and {colour}. They are at the {place}."),
    },
    nothing_at="There is nothing at the {place}.",
    nothing_related=Form("There is nothing {relation} the {thing}.", "There is nothing {relation} the {things}."),
    exists_not="No, there is no {colour} {thing}.",
    other=Form("the {thing}", "the {things}"),
    description=(
        Form("The image shows {number} kind of thing.", "The image shows {number} kinds of things."),
        Form("At the {place} there is {group}.", "At the {place} there are {group}."),
        "The background is {background}.",
    ),
    caption=(same("{group} at the {place}"), "the background is {background}"),
    caption_comma=", ",
    join=" ",
    polish=with_articles,
)
