"""One file a data set: its name, its config, and which shared reader reads it."""
