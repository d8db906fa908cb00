"""The data plane: it forwards requests and counts them. It does not know what a commit or a deploy is."""
