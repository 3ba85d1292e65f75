"""Routes of the service's own API, and what each request passes: receive, parse, answer."""
