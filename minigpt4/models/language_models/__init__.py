"""Language models that go on from embeddings. One file each."""
