"""Conversation templates, one file each. A template is data: one entry adds one."""
