"""From names to objects: sources opened, parts built, filled, frozen and placed."""
