"""`docs/scenes.md`: what the embedded default answers before, between and after its two stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SPLITS = {"seen": "seen", "held_out": "held out"}
LANGUAGES = {"en": "English", "zh": "Chinese"}
MOMENTS = {"before": "before", "stage1": "after stage 1", "stage2": "after stage 2", "ceiling": "ceiling"}
PAIR_TYPES = ("colour", "exists", "what_is_at", "relation")


def page(results: Mapping[str, Any]) -> str:
    """The page as text; every number is from the results."""
    figures, machine, versions = results["figures"], results["machine"], results["versions"]
    scenes = figures["stage2"]["seen"]["scenes"]
    cost = results["cpu_seconds"]
    return f"""# The embedded default in numbers

Written by `python benchmarks/scenes.py`; all figures are in
[benchmarks/results/scenes.json](../benchmarks/results/scenes.json). Tiny frozen parts, and one linear layer that the
two stages train: {cost["stage1"]:.0f} and {cost["stage2"]:.0f} CPU-seconds. {scenes} fresh scenes a split, greedy, an
answer is right if it has all right words and nothing else of their kind.

*seen*: new images of combinations of kind and colour that training had. *held out*: every thing in the image is a
combination that no training ever showed or named, that of the frozen parts included. *majority*: the best fixed answer
to each type. *ceiling*: the language model is given each scene in words instead of the image. In *italics* the four
types that depend on the combination.

{"".join(_table(figures, language) for language in LANGUAGES)}
## Longer texts, and what stage 2 is for

{_texts(figures)}

*Captions* are what the model says to an image without a question (stage 1); *form* is the share of answers to
instructions that end by themselves, repeat no sentence and are sentences. After stage 1 the faults are
{_faults(figures["stage1"]["seen"])}; after stage 2 {_faults(figures["stage2"]["seen"])}.

## Bars

{_bars(results["bars"])}

Seed {results["seed"]}, held-out variant {results["held_out_variant"]}, one thread of {machine["processor"]}; Python
{versions["python"]}, torch {versions["torch"]}, transformers {versions["transformers"]}, commit {versions["commit"]}.
"""


def _table(figures: Mapping[str, Any], language: str) -> str:
    """Shares of right answers by type; a column a split and moment."""
    columns = [("majority", split) for split in SPLITS]
    columns += [(moment, split) for moment in MOMENTS for split in SPLITS]
    head = _row(["", *(f"{MOMENTS.get(moment, moment)}, {SPLITS[split]}" for moment, split in columns)])
    types = figures["stage2"]["seen"]["questions"][language]
    rows = [
        _row([_type_name(type), *(f"{_cell(figures, moment, split, language)[type]:.2f}" for moment, split in columns)])
        for type in types
    ]
    return f"## {LANGUAGES[language]}\n\n{head}{_rule(len(columns))}{''.join(rows)}\n"


def _cell(figures: Mapping[str, Any], moment: str, split: str, language: str) -> Mapping[str, float]:
    source = figures["stage2"][split]["majority"] if moment == "majority" else figures[moment][split]["questions"]
    shares: Mapping[str, float] = source[language]
    return shares


def _type_name(type: str) -> str:
    if type in PAIR_TYPES:
        return f"*{type.replace('_', ' ')}*"
    return {"mean": "**mean of nine**", "pair_mean": "***mean of these four***"}.get(type, type)


def _texts(figures: Mapping[str, Any]) -> str:
    columns = [(moment, split) for moment in MOMENTS for split in SPLITS]
    head = _row(["", *(f"{MOMENTS[moment]}, {SPLITS[split]}" for moment, split in columns)])
    rows = []
    for language, name in LANGUAGES.items():
        shares = (figures[moment][split]["descriptions"][language] for moment, split in columns)
        rows.append(_row([f"attributes of descriptions, {name}", *(f"{share:.2f}" for share in shares)]))
    for key, name in (("captions", "attributes of captions"), ("form", "form"), ("ends_properly", "ends by itself")):
        rows.append(_row([name, *(f"{figures[moment][split][key]:.2f}" for moment, split in columns)]))
    return head + _rule(len(columns)) + "".join(rows).rstrip()


def _faults(split: Mapping[str, Any]) -> str:
    faults = [f"{name} {share:.2f}" for name, share in split["form_faults"].items()]
    return ", ".join(faults) or "none"


def _bars(bars: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        _row([bar["figure"], f"{bar['value']:.3f}", f"{'at most' if bar['at_most'] else 'at least'} {bar['wanted']}",
              "yes" if bar["met"] else "**missed**"])
        for bar in bars
    ]
    return _row(["figure", "value", "bar", "met"]) + _rule(3) + "".join(rows).rstrip()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _rule(columns: int) -> str:
    return f"| --- |{' --- |' * columns}\n"
