"""Questions about recordings, by which search is measured."""
