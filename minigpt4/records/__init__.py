"""The plain frozen dataclasses that cross package borders; no behaviour beyond checks."""
