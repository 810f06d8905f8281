"""The command line: one file a command, found by its name; `main` is the door."""
