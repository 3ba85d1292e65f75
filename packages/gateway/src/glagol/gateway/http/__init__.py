"""What the pages ask for in the background: recordings, texts, edits, sound, search, events."""
