"""Data sets that draw scenes as they are asked for."""
