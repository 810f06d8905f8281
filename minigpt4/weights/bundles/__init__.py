"""Bundles: what training writes, with the fingerprints of everything it was trained with."""
