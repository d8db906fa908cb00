"""The index beside each log: when the app wrote what. Nothing stands between the app and its log file."""
