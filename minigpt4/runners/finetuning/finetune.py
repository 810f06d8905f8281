"""`minigpt4.finetune`: own images and texts to a trained model, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minigpt4.common.config import load_config
from minigpt4.common.config.paths import shipped_folder
from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file
from minigpt4.common.texts import read_text
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.runners.finetuning.own_data import read_own_data
from minigpt4.runners.finetuning.own_run import Wishes, run_yaml
from minigpt4.runners.run_folder import RunFolder
from minigpt4.runners.start.describing import describes_now
from minigpt4.runners.start.setup import train
from minigpt4.weights.bundles.bundle import PROMPTS, TOKENIZER, newest_bundle, open_bundle

RUN_YAML = "run.yaml"


def finetune(*, images: str | Path | None = None, texts: str | Path | None = None, source: str | Path | None = None,
             output_dir: str | Path, epochs: int | None = None, batch_size: int | None = None,
             options: Sequence[str] = (), allow_imports: bool = False, resume: bool = False) -> Path:
    """Train a model (stage 2) on your own images and texts; the same as `minigpt4 finetune`.

    Args:
        images: folder of the images.
        texts: JSONL, an object per line: {"image", "caption" | "text" | "conversations"}.
        source: what training continues from: a bundle or a run folder.
        output_dir: new folder for run.yaml, logs and checkpoints.
        epochs, batch_size: None = from the number of samples.
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
    write_run(images=Path(images), texts=Path(texts), source=Path(source), output_dir=Path(output_dir),
              wishes=Wishes(epochs, batch_size, options), allow_imports=allow_imports)
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
    train(load_config(file), resume=True, make_describe=describes_now)  # the folder is ours: run.yaml is in it
    return newest_bundle(output_dir)


def write_run(*, images: Path, texts: Path, source: Path, output_dir: Path, wishes: Wishes,
              allow_imports: bool = False) -> Path:
    """Check everything a person gave, then write run.yaml and its prompts; a run that cannot start leaves neither.

    Returns:
        the YAML.

    Raises:
        UserError: data, source, a number or an option is wrong.
    """
    wishes.check()
    RunFolder(output_dir).check(resume=False)
    bundle = open_bundle(newest_bundle(source))
    bundle.check_places([key.split(".")[1] for key in wishes.options if ".weights=" in key])
    tokenizer = open_tokenizer(bundle.folder / TOKENIZER)
    data = read_own_data(images, texts, lambda text: len(tokenizer.encode(text, specials=False)))
    file, prompts = output_dir / RUN_YAML, output_dir.resolve() / "prompts.txt"
    text = run_yaml(bundle, data, prompts, output_dir.resolve(), wishes, allow_imports=allow_imports)
    try:
        for path, content in ((prompts, _prompts_of(bundle.folder)), (file, text)):
            with atomic_file(path) as part:
                part.write_text(content, encoding="utf-8")
        load_config(file)
    except UserError:
        file.unlink(missing_ok=True)
        prompts.unlink(missing_ok=True)
        raise
    return file


def _prompts_of(bundle: Path) -> str:
    """The prompts that the bundle was trained with, else those of the original's stage 2."""
    own = bundle / PROMPTS
    source = own if own.exists() else shipped_folder() / "prompts" / "alignment.txt"
    return read_text(source, "prompts.text")
