"""The daemon's process: its life, its lock, its API, and how it reloads."""
