"""PyTorch networks: their exported graph, read without unpickling anything and run by branches."""
