"""Bundles: what training writes, with the fingerprints of all that it was trained with."""
