"""Clusters that run the app in place of this machine: what is common to them, and what is each one's own."""
