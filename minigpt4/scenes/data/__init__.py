"""Scenes on disk, in the layouts of real data."""
