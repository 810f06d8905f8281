"""An endpoint mends a draft: repetition and half sentences go, nothing that the draft does not say may come."""

from __future__ import annotations

from dataclasses import replace

from minigpt4.curation.endpoint import Endpoint, GaveUp
from minigpt4.curation.journal import Entry

INSTRUCTION = """You edit descriptions of images that a program wrote. You do not see the image.
Rewrite the description between the marks so that it can be learned from:
- Keep every fact of the description and add none.
- Remove sentences and phrases that say the same again, sentences that break off, and signs that are no language.
- Remove guesses, apologies and remarks about yourself or about the description.
- Write whole sentences in the language of the description, without lists and headings.
If nothing sensible is left, answer with the one word NOTHING. Otherwise answer with the new description alone."""
NOTHING = "NOTHING"


def messages_for(text: str) -> list[dict[str, str]]:
    """What is sent for a draft; the draft is data between marks, whatever it says."""
    quoted = text.replace("<<<", "").replace(">>>", "")
    return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": f"<<<{quoted}>>>"}]


def polished(entry: Entry, endpoint: Endpoint) -> Entry:
    """The entry with its polished text, or with the reason why it has none.

    Raises:
        Refused: the endpoint will answer nothing.
    """
    try:
        answer = endpoint.answer(messages_for(" ".join(entry.drafts)))
    except GaveUp as failure:
        return replace(entry, attempts=(*entry.attempts, *failure.reasons))
    if answer.strip().strip(".").upper() == NOTHING:
        return replace(entry, dropped="the endpoint found nothing sensible in it")
    return replace(entry, polished=answer.strip("<> \n"))
