"""The tasks that make the tiny parts of the embedded default."""
