"""The commands where `engine` is set: each does on the cluster what it does elsewhere with a daemon.

What an app without `engine` needs of it is `dispatch` alone, which must be fast.
"""
