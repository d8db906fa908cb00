"""Python, its package managers and frameworks."""
