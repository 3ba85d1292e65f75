"""Errors, logging, settings and files: what every other package stands on."""
