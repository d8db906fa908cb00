"""Listener handover: two versions of an unmodified app on one port, and the kernel told which gets visitors."""
