"""What the daemon knows, on disk."""
