"""A system from outside the package, one folder and one YAML: what the next systems need, in small."""
