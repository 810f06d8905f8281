"""Scenes in English and Chinese: words, captions, questions, lessons."""
