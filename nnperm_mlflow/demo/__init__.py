"""Two worked examples, from raw data over a trained and registered network to its audit."""
