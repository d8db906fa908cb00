"""An app as files that an engine takes, for those who keep them in git."""
