"""A data set of detailed descriptions that a model writes, an endpoint polishes, rules filter and a person reads."""
