"""MiniGPT-4 (arXiv 2304.10592): frozen EVA-ViT and Q-Former, one linear layer, frozen Vicuna or Llama-2."""
