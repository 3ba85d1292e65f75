"""Webhooks: payload, signature, guarded delivery, retries."""
