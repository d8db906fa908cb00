"""How visitors reach the live version: by the proxy, or by a handover of the app's own port."""
