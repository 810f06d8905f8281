"""What newcomers ask and hear in English."""

from __future__ import annotations

from minigpt4.scenes.photographs.photograph import MAIN_COLOURS, SUBJECTS
from minigpt4.scenes.words.english import with_articles
from minigpt4.scenes.words.newcomer import NewcomerType, NewcomerWording, Noun

ENGLISH_NEWCOMER = NewcomerWording(
    subjects={name: Noun(f"a {name}", name, name) for name in SUBJECTS} | {
        "trousers": Noun("a pair of trousers", "pair of trousers", "trousers")
    },
    main_colours={name: name for name in MAIN_COLOURS},
    unknown="unknown",
    photograph="photograph",
    questions={
        NewcomerType.WHAT: (
            "What is this?", "What is in this picture?", "What is in the picture?", "What does this image show?",
            "What is shown here?", "What's this?", "What is it?", "What is in this photo?",
            "What is on the picture?", "What is in this image?",
        ),
        NewcomerType.SEE: (
            "What do you see?", "What can you see?", "What do you see in this picture?", "Tell me what you see.",
            "What can you see in the image?",
        ),
        NewcomerType.IS_THERE: (
            "Is there {one}?", "Can you see {one}?", "Do you see {one}?", "Is there {one} in the picture?",
            "Does the picture show {one}?", "Is this {one}?",
        ),
        NewcomerType.MAIN_COLOUR: (
            "What colour is it?", "What color is it?", "What colour is this?", "What is the main colour?",
            "What is the main color?", "Which colour is it?", "What is its colour?", "What colours do you see?",
        ),
        NewcomerType.TELL: (
            "What colour is the {bare}?", "What color is the {bare}?", "Where is the {bare}?",
            "Tell me about the {bare}.", "Describe the {bare}.",
        ),
        NewcomerType.UNFAMILIAR: (
            "Is there {one}?", "Is there {one}?", "Can you see {one}?", "Do you see {one}?",
            "Is there {one} in the picture?", "Does the picture show {one}?", "Is this {one}?",
            "Where is the {bare}?", "What colour is the {bare}?", "Describe the {bare}.",
            "Tell me about the {bare}.", "What is {one}?",
        ),
        NewcomerType.UNTAUGHT: (
            "Why?", "Who made this?", "How old is it?", "What is the weather like?", "How much does it cost?",
            "Who is in the picture?", "Where was this taken?", "When was this taken?", "What will happen next?",
            "What is the name of this place?", "Is it dangerous?", "How heavy is it?", "What is it made of?",
            "What is it for?", "What does the text say?", "How many people are there?", "What time is it?",
            "Is this real?", "Do you like it?", "What is funny about this picture?", "What is it doing?",
            "What happens here?", "Who are they?", "What should I buy?", "Write a story about it.",
        ),
        NewcomerType.SAME: (
            "What is the same?", "What is the same in both pictures?", "What do they have in common?",
            "What do these pictures have in common?", "What do both show?",
        ),
        NewcomerType.HELLO: (
            "Hello", "Hello!", "Hi", "Hi!", "Hey", "Hi there", "Good morning", "Good evening", "hello",
        ),
        NewcomerType.ABILITIES: (
            "What can you do?", "Who are you?", "What do you know?", "Help", "What can I ask you?",
            "Can you help me?", "How does this work?",
        ),
    },
    what_photograph="This is a photograph of {one}.",
    what_drawing="This is a drawing of {groups}.",
    see="I see {one}.",
    do_not_know_this="I do not know what this is.",
    there_is="Yes, there is {one}.",
    there_is_not="No, there is no {bare}.",
    no_such="There is no {bare}.",
    mainly="It is mainly {colour}.",
    colour_of_one="The {group} is {colour}.",
    colours_of_groups="the {group} {verb} {colour}",
    colours_joint=(", ", "."),
    only_main="I only know that the picture is mainly {colour}.",
    where_subject="It is in the picture.",
    do_not_know="I do not know.",
    describe_photograph="This is a photograph of {one}. It is mainly {colour}.",
    describe_unknown="I do not know what this is. It is mainly {colour}.",
    caption="a photograph of {one}",
    caption_with_colour="a photograph of {one}, mainly {colour}",
    caption_unknown="a picture of something unknown, mainly {colour}",
    both="Both show {one}.",
    nothing_same="Nothing is the same.",
    conjunction=" and ",
    comma=", ",
    unfamiliar="I do not know what {one} is.",
    hello=("Hello! Show me a picture and ask me about it.", "Hello! Ask me about the picture."),
    abilities="I answer questions about pictures. I know drawings of 16 kinds of things in 8 colours, and photographs "
              "of flowers, clothes, airplanes and motorcycles.",
    show_me="Please show me a picture.",
    article=lambda bare: f"a {bare}",
    polish=with_articles,
)
