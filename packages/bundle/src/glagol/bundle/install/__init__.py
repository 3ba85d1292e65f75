"""Install a bundle: steps, checks, the switch to the new release, rollback."""
