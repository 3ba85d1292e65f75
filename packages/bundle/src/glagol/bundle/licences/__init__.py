"""What the licences of a bundle's parts are, and what a person should decide."""
