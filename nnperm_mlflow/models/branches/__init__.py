"""Only what a changed input can reach is computed again: shared by all frameworks whose networks have a graph."""
