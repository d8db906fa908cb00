"""The handover: two versions of an unmodified app listen on one port, and the kernel is told which gets visitors."""
