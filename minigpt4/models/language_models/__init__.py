"""Language models that continue from embeddings. One file each."""
