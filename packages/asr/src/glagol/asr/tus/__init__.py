"""Uploads that can be resumed, by tus 1.0.0."""
