"""What `init` finds out about a project from its files. Nothing here writes, and nothing runs the project."""
