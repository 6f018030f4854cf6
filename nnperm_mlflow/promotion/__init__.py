"""Giving a version an alias, only after the evidence for it has been read again."""
