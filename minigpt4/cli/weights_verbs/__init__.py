"""The verbs of `minigpt4 weights`, one file each: `HELP`, `add_arguments(parser)`, `run(arguments) -> exit status`."""
