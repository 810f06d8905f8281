"""Trained models measured: benchmarks read, questions asked, answers kept and scored."""
