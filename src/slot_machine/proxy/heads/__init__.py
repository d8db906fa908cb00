"""Heads of requests and replies: parsed, refused, passed on."""
