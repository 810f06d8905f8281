"""Fine-tuning on own images and texts: `minigpt4 finetune`, and `minigpt4.finetune` from Python."""
