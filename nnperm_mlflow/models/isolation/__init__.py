"""A model whose own code runs in a process of its own: arrays go in, arrays come out."""
