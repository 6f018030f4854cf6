"""Interactions: what two features do together beyond what each does alone."""
