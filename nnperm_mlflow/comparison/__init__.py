"""What changed between versions: two side by side, and the history of a model."""
