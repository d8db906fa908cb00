"""The edge with Traefik, Pebble as its certificate authority, curl and real apps; see `conftest.py`."""
