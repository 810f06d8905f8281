"""The command line: one file per command, found by its name; `main` is the entry point."""
