"""One app: its deploys, its trees, its running versions."""
