"""The image of a version: how it is built, and how nodes get it."""
