"""Installing a bundle: steps, checks, the cut-over, rollback."""
