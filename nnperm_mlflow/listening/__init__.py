"""Approval by event: audit each model version as it is registered."""
