"""Drawn scenes: the embedded data set, with words in English and Chinese; everything follows from a seed."""
