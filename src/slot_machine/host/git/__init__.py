"""Git: how it is called, and where it keeps what."""
