"""Known weights from the network into a folder."""
