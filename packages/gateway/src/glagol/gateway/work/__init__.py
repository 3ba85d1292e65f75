"""From a recording that has arrived to its text in the library."""
