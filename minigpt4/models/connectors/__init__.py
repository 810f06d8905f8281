"""Connectors: `tokens` [N, tokens, width] -> `tokens` [N, tokens, width of the language model]. One file each."""
