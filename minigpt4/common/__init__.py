"""What every package builds on: errors, registry, config engine, atomic files, process group."""
