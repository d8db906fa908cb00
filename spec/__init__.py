"""The contract of slot-machine as a suite that tests any implementation from the outside. See README.md."""
