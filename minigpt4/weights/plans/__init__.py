"""Conversion plans: which key of a file becomes which tensor of a model."""
