"""Errors, logging, settings and files, which every other package uses."""
