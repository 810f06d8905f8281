"""`minigpt4.finetune`: own images and texts to a trained model, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minigpt4.common.config import Config, load_config, load_fragment
from minigpt4.common.config.layers import read_options
from minigpt4.common.config.paths import shipped_folder
from minigpt4.common.config.trust import downloaded
from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file
from minigpt4.common.texts import read_text
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.datasets.hold_out import write_lines
from minigpt4.datasets.own_texts import OwnTexts, read_own_texts
from minigpt4.runners.config import RunConfig
from minigpt4.runners.finetuning.observing import OwnDataObserver
from minigpt4.runners.finetuning.own_data import data_of_run, keep_back
from minigpt4.runners.finetuning.own_run import run_yaml
from minigpt4.runners.finetuning.wishes import Trained, Wishes
from minigpt4.runners.run_folder import RunFolder
from minigpt4.runners.start.describing import describes_now
from minigpt4.runners.start.setup import train as start_training
from minigpt4.weights.bundles.bundle import PROMPTS, TOKENIZER, open_bundle
from minigpt4.weights.bundles.places import newest_bundle

RUN_YAML = "run.yaml"


def finetune(*, images: str | Path | None = None, texts: str | Path | None = None, source: str | Path | None = None,
             output_dir: str | Path, epochs: int | None = None, batch_size: int | None = None,
             train: Trained | None = None, hold_out: float | None = None, options: Sequence[str] = (),
             allow_imports: bool = False, resume: bool = False) -> Path:
    """Train a model (stage 2) on your own images and texts; the same as `minigpt4 finetune`.

    Args:
        images: folder of the images.
        texts: JSONL, an object per line: {"image", "caption" | "text" | "conversations"}.
        source: what training continues from: a bundle or a run folder.
        output_dir: new folder for run.yaml, logs and checkpoints.
        epochs, batch_size: None = from the number of samples.
        train: "projection", "lora" (projection and adapters on the language model) or "everything"; None = the parts
            that the bundle trained, the image encoder and the Q-Former left out.
        hold_out: share of the images that is kept back; at the end `report.html` and `report.json` in the run folder
            show what was wanted about them and what is said.
        options: `a.b=c` changes of the run, as on the command line.
        allow_imports: run the Python modules that the bundle's config names; without it such a bundle is refused.
        resume: continue the run in `output_dir` from its newest checkpoint; nothing else is read then.

    Returns:
        the last checkpoint, a bundle that `minigpt4.load` reads.

    Raises:
        UserError: data, source or an option is wrong; nothing is written then.
    """
    if resume:
        return continue_finetuning(output_dir)
    if images is None or texts is None or source is None:
        raise UserError("finetune.missing", where="minigpt4.finetune", what="images, texts or source is not given",
                        fix="a new run needs all three; resume=True continues the run in output_dir")
    own_texts = read_own_texts(Path(images), Path(texts))
    write_run(own_texts, source=Path(source), output_dir=Path(output_dir),
              wishes=Wishes(epochs, batch_size, options, train, hold_out), allow_imports=allow_imports)
    return continue_finetuning(output_dir)


def continue_finetuning(output_dir: str | Path) -> Path:
    """Train, or go on training, a run that is written; returns the last checkpoint.

    Raises:
        UserError: the folder has no run.yaml.
    """
    file = Path(output_dir) / RUN_YAML
    if not file.is_file():
        raise UserError("finetune.nothing", where=str(file), what="does not exist, so there is nothing to continue",
                        fix="start with images, texts and a bundle to continue from")
    config = load_config(file)
    observer = OwnDataObserver(config)
    start_training(config, resume=True, make_describe=describes_now, observer=observer)  # the folder is ours
    return newest_bundle(output_dir)


def write_run(texts: OwnTexts, *, source: Path, output_dir: Path, wishes: Wishes, allow_imports: bool = False) -> Path:
    """Check everything a person gave, then write run.yaml and what it names; a run that cannot start leaves neither.

    Returns:
        the YAML.

    Raises:
        UserError: source, a number or an option is wrong.
    """
    wishes.check()
    RunFolder(output_dir).check(resume=False)
    bundle = open_bundle(newest_bundle(source))
    bundle.check_places([key.split(".")[1] for key in wishes.options if ".weights=" in key])
    before = load_fragment(bundle.config_path, trust=downloaded(allow_imports=allow_imports))
    tokenizer = open_tokenizer(bundle.folder / TOKENIZER)
    folder = output_dir.resolve()
    split = keep_back(texts, wishes.hold_out, _seed(before, wishes))
    data = data_of_run(texts, split, folder, lambda text: len(tokenizer.encode(text, specials=False)))
    file, prompts = output_dir / RUN_YAML, folder / "prompts.txt"
    text = run_yaml(bundle, before, data, prompts, folder, wishes)
    written = [file, prompts]
    try:
        if split is not None and data.held_out is not None:
            written += [data.texts, data.held_out]
            write_lines(texts.texts, split.train, data.texts)
            write_lines(texts.texts, split.held_out, data.held_out)
        for path, content in ((prompts, _prompts_of(bundle.folder)), (file, text)):
            with atomic_file(path) as part:
                part.write_text(content, encoding="utf-8")
        load_config(file)
    except UserError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return file


def _seed(before: Config, wishes: Wishes) -> int:
    """The run's: of `--options run.seed=N`, else the bundle's."""
    usual = RunConfig().seed if before.run is None else before.run.seed
    given: Mapping[str, Any] = read_options(wishes.options).values.get("run", {})
    seed = given.get("seed", usual)
    return seed if isinstance(seed, int) else usual  # one that is no number is refused with the whole YAML


def _prompts_of(bundle: Path) -> str:
    """The prompts that the bundle was trained with, else those of the original's stage 2."""
    own = bundle / PROMPTS
    source = own if own.exists() else shipped_folder() / "prompts" / "alignment.txt"
    return read_text(source, "prompts.text")
