"""Conversations as ids, labels and slots: templates (data), tokenizers, the renderer."""
