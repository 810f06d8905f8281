"""One folder per system, and the contract that all of them keep."""
