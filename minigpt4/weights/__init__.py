"""Weights from files into models and back: readers, conversion plans, bundles."""
