"""Vision encoders: `pixel_values` [N, 3, S, S] -> `tokens` [N, tokens, width]. One file each."""
