"""Users of the machine: whose rights commands have, and what another user may do."""
