"""Model families, one folder each: from weights to artifacts."""
