"""Delivers notices, each in a process of its own."""
