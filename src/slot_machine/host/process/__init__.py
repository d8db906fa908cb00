"""Processes: started, followed, ended."""
