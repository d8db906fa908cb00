"""Blue-green deploys of one web app on one machine."""

__version__ = "0.1.0"

SPEC_VERSION = "1"
"""The version of the contract in `spec/` that this package implements."""
