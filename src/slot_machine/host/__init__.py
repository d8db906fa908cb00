"""The operating system: one concern a file."""
