"""The data plane: bytes, upstreams and counts. It never knows what a commit or a deploy is."""
