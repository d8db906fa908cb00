"""Files and folders: opened, moved, measured and removed safely."""
