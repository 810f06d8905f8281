"""Several runs of `minigpt4`, each on so many ranks, from one process that has imported everything: ranks are forked.

`python -m tests.runners.forked '[{"ranks": 2, "words": ["train", …]}, …]'` ends with the first code that is not 0. The
words `gradients FILE OPTIONS` write what the first step of `run.yaml` gives into a file instead of training.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import importlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from minigpt4.common.config import load_config
from minigpt4.common.process_group import join, place_from
from minigpt4.common.sharded_tensors import own_rows, whole
from minigpt4.conversation.batching import pad
from minigpt4.records.batches import Batch
from minigpt4.runners.precision import Precision
from minigpt4.runners.start.setup import make_job
from minigpt4.runners.window import WindowGradient
from tests.runners.processes import free_port

LIMIT = 600
"""seconds until a rank that hangs is ended, with its stack in its output"""
HEAVY = ("minigpt4.runners.start.describing", "minigpt4.systems.minigpt4.system",
         "minigpt4.tasks.image_text_pretrain", "minigpt4.runners.parallel.sharded", "minigpt4.datasets.builders.laion",
         "minigpt4.models.vision.eva_vit", "minigpt4.models.resamplers.q_former", "transformers.models.llama")


def run_forked(*runs: tuple[int, Sequence[str]], cwd: Path) -> str:
    """Run `minigpt4 WORDS` on a number of ranks, one (ranks, words) after the other; returns what all of them said."""
    order = json.dumps([{"ranks": ranks, "words": list(words)} for ranks, words in runs])
    ended = subprocess.run([sys.executable, "-m", "tests.runners.forked", order], cwd=cwd, text=True,
                           env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert ended.returncode == 0, ended.stdout[-6000:]
    return ended.stdout


def _run_rank(rank: int, ranks: int, port: int, words: Sequence[str]) -> int:
    from minigpt4.cli.main import main

    faulthandler.dump_traceback_later(LIMIT, exit=True)
    if ranks > 1:
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1",
                          MASTER_PORT=str(port))
    if words[0] == "gradients":
        write_first_step(Path(words[1]), words[2:])
        return 0
    return main(list(words))


def write_first_step(file: Path, options: Sequence[str]) -> None:
    """The loss of the first window over all ranks, its gradients, and bytes of the language model on each rank."""
    run_config = load_config("run.yaml", options)
    group = join(place_from(os.environ), cuda=False, timeout=60, alone=run_config.run.parallel == "fsdp")
    job = make_job(run_config, group, torch.device("cpu"))
    fp32 = Precision("fp32", "cpu")
    window = list(itertools.islice(job.task.training_batches(0), run_config.run.accum_grad_iters))
    if group.rank == group.world_size - 1 and "LAST_RANK" in os.environ:
        window = [window[0], *_spoilt(window[1:], os.environ["LAST_RANK"])]
    job.model.train()
    result = WindowGradient(job.model, job.task, group, fp32, job.device, job.strategy)(window, fp32.scaler())
    loss = group.sum([result.loss_sum])[0] / result.total_tokens
    held = group.gather(sum(own_rows(each).numel() * 4 for each in job.model.llm.parameters()))
    gradients = {name: whole(each.grad) for name, each in job.model.named_parameters() if each.grad is not None}
    if group.is_first:
        torch.save({"loss": loss, "held": held, "gradients": gradients}, file)
    group.close()


def _spoilt(batches: Sequence[Batch], how: str) -> list[Batch]:
    """Micro-batches as a rank may have them: without a row, or without an image."""
    if how == "empty":
        return [pad([], pad_token_id=0) for _ in batches]
    return [dataclasses.replace(batch, images={}, slots=torch.full_like(batch.slots, -1), prepared_row=None)
            for batch in batches]


def import_all() -> None:
    """What every rank needs, once for all of them."""
    for module in HEAVY:
        importlib.import_module(module)


def fork(rank: int, ranks: int, port: int, words: Sequence[str]) -> int:
    """Start a rank that runs `minigpt4 WORDS`; returns its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = _run_rank(rank, ranks, port, words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _main(order: str) -> int:
    import_all()
    for run in json.loads(order):
        port = free_port()
        children = [fork(rank, run["ranks"], port, run["words"]) for rank in range(run["ranks"])]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(f"{time.monotonic():.0f} {run['ranks']} ranks ended with {codes}", flush=True)
        if any(codes):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
