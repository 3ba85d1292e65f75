"""Offline bundles: plan, pack, sign, seal, split, verify, apply, roll back."""
