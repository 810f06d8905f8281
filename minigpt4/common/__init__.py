"""What every room stands on: errors, registry, config engine, atomic files, process group."""
