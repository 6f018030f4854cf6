"""Disturbing features and measuring how far predictions move: arrays in, a table and its statistics out."""
