"""The subcommands of `glagol`, one module each."""
