"""Before a run: from a config to a job, and the dry run. A folder of its own: only a real start imports models."""
