"""Every row disturbed and predicted, block by block, with what is kept of it."""
