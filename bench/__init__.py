"""Measures speed and cost beside other proxies, as ratios within one run. `make bench`."""
