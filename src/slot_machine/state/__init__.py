"""The state on disk: the database, its seal, and how it is checked and rebuilt."""
