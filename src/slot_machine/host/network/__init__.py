"""Sockets and ports."""
