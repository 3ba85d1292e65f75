"""Evaluation: recognisers, suites, error rates, tables."""
