"""Files of weights: opened, checked, written in shards."""
