"""Making a bundle: plan, index, sources, the writer."""
