"""Repeat after repeat: all rows disturbed and predicted until the numbers are sure enough, and what came of it."""
