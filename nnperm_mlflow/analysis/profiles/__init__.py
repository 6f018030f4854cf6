"""Profiles: the mean prediction over a grid of values of a feature."""
