"""Which models exist, which bytes they are, and how to get and open exactly those bytes."""
