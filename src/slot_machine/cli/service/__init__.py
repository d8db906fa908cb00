"""One module for each command: its options, its call of the client, and what it prints."""
