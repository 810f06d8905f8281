"""`minigpt4 data scenes`: the embedded data set, drawn into a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.common.config.ranges import NonNegativeInt, Seed, Variant, number

EXAMPLES = Path("examples/photos")
"""the photographs of a checkout"""


def add_scenes_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `scenes` to the verbs of `minigpt4 data`."""
    scenes = verbs.add_parser("scenes", help="draw the embedded data set: captions, descriptions, dialogues, questions")
    scenes.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for everything")
    scenes.add_argument("--seed", type=number(Seed), default=0, metavar="N",
                        help="another seed, other scenes (default: 0)")
    amounts = {
        "stage1": ("captioned images of stage 1, in tars", 4000),
        "stage2": ("described images of stage 2, in the layout of cc_sbu_align", 500),
        "dialogues": ("dialogues of stage 2, in LLaVA's form", 3000),
        "photographs": ("captioned photographs of stage 1, where there is an album", 1600),
        "newcomers": ("conversations of stage 2 about what people ask first", 3000),
        "eval": ("scenes of each evaluation split, seen and held_out", 200),
    }
    for name, (what, usual) in amounts.items():
        scenes.add_argument(f"--{name}", type=number(NonNegativeInt), default=usual, metavar="N",
                            help=f"{what} (default: {usual})")
    scenes.add_argument("--album", type=Path, metavar="DIR",
                        help="folder of photographs with a captions.jsonl (default: examples/photos if it is there)")
    scenes.add_argument("--held-out-variant", type=number(Variant), default=0, metavar="N",
                        help="which combinations of kind and colour are for evaluation only: 0 or 1 (default: 0)")


def draw_scenes(arguments: argparse.Namespace) -> int:
    """Write the data set and say where everything is."""
    from tqdm import tqdm

    from minigpt4.scenes.data.album import read_album
    from minigpt4.scenes.data.files import ScenesPlan, write_scenes

    plan = ScenesPlan(
        seed=arguments.seed, stage1=arguments.stage1, stage2=arguments.stage2, dialogues=arguments.dialogues,
        newcomers=arguments.newcomers, photographs=arguments.photographs, eval=arguments.eval,
        held_out_variant=arguments.held_out_variant,
    )
    folder = arguments.album or (EXAMPLES if EXAMPLES.exists() else None)
    with tqdm(total=plan.total, unit="sample") as bar:
        write_scenes(arguments.output, plan, bar.update, album=None if folder is None else read_album(folder))
    print(f"wrote {arguments.output}: {bar.n} samples{'' if folder else ', no photographs'}; see docs/data.md#scenes")
    return 0
