"""Offline bundles: plan, pack, sign, seal (encrypt), split, verify, install, roll back."""
