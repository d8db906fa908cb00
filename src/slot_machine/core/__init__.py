"""Pure code: it has no await, asks no operating system and reads no clock."""
