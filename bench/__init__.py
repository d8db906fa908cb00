"""Speed and cost, as ratios in one run. `make bench`."""
