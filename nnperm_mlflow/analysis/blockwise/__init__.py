"""Shuffle blocks audited one by one, anywhere, and what came of them put together."""
