"""The contract of slot-machine, as a test suite for any implementation. See README.md."""
