"""The `glagol` command."""
