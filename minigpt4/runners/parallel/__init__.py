"""How the processes of a run share the model: each has all of it, or each holds a part (FSDP2)."""
