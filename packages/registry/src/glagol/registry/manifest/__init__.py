"""The manifest: types, rules, reading, and edits of it."""
