"""Which service answers a path, and the way there: in this process, or over HTTP."""
