"""Licences of a bundle's parts, and the questions that a person must decide."""
