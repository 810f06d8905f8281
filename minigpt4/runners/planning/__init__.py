"""What a config will need, computed from its sizes alone: no weight is read."""
