"""What slot-machine knows without asking anyone: no await, no operating system, no clock."""
