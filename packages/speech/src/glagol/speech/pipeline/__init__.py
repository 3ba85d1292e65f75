"""From samples to a transcript: channels, windows, live streams."""
