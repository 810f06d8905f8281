"""Llama folders: Vicuna deltas and raw LLaMA checkpoints."""
