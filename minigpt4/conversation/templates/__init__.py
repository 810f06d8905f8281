"""Conversation templates, one file each. A template is data: add one by one entry."""
