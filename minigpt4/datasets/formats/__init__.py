"""Readers of file formats, shared by the builders: tars, JSON, lines, streams."""
