"""Weights that cannot be right are found and named."""

from __future__ import annotations

import torch

from minigpt4.common.blank_tensors import find_blank_tensors


def test_faults_are_named_and_fresh_vectors_pass() -> None:
    tensors = {
        "good": torch.tensor([[1.0, 2.0]]), "zero": torch.zeros(2, 2), "same": torch.full((2, 2), 3.0),
        "nan": torch.tensor([1.0, torch.nan]), "inf": torch.tensor([torch.inf]), "norm.weight": torch.ones(4),
        "norm.bias": torch.zeros(4), "ids": torch.zeros(2, 2, dtype=torch.int64), "empty": torch.zeros(0, 2),
    }
    assert [str(blank) for blank in find_blank_tensors(tensors.items())] == [
        "zero [2, 2] is all zero", "same [2, 2] is 3 throughout", "nan [2] holds values that are not finite",
        "inf [1] holds values that are not finite",
    ]
