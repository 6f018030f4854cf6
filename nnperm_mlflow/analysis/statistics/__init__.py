"""What deviations say: the table, its summary, and how sure that is."""
