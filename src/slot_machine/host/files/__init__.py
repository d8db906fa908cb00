"""Files and folders: what may be opened, moved, measured and removed."""
