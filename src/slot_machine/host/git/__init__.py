"""Git: how it is called, and what it keeps where."""
