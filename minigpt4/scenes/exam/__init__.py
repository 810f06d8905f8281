"""Evaluation on drawn scenes: questions asked, answers scored, a page of wrong ones."""
