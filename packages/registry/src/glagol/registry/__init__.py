"""The list of models with their digests; fetching and verified opening of their files."""
