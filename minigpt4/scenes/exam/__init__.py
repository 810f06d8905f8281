"""How well a model speaks of drawn scenes: questions asked, answers scored, a page of wrong ones."""
