"""Resamplers: `tokens` [N, many, width] -> `tokens` [N, fewer, width]. One file each."""
