"""Finished numbers in, pictures out."""
