"""The `glagol` command."""

VERSION = "0.1.0"
