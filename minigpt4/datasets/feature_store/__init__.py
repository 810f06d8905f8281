"""What frozen encoders say of images, kept on disk.

`identity.py`: whose it is. `shards.py`: the files. `images.py`: what training reads in the place of images.
"""
