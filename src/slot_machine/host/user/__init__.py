"""Users of the machine: whose rights commands have, and who may do what."""
