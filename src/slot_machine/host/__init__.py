"""One concern of the operating system a file: processes, worktrees, ports, health, the database."""
