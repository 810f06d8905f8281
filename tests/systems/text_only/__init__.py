"""A system without images, from outside the package."""
