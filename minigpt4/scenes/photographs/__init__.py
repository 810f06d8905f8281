"""Photographs of ten classes: what is told of them, how colours are measured, and images that show nothing known."""
