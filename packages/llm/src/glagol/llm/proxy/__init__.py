"""HTTP in and out: the listener, connections, requests handed through."""
