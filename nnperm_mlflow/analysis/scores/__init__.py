"""scikit-learn's scores: of the model as it is, and by how much they drop when a feature is disturbed."""
