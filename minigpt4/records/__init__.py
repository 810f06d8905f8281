"""The plain frozen dataclasses that cross a border between rooms; no behaviour beyond checks."""
