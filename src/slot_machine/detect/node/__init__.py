"""Node, Bun, their package managers and frameworks."""
