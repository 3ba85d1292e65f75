"""Texts in other forms: columns for pages, files, what other programs wrote, phrases replaced."""
