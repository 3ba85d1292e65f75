"""Commands that start a server in this process."""
