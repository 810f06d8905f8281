"""Using a model: load, chat, describe folders of images."""
