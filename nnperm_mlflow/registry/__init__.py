"""Everything that speaks to MLflow of runs and versions."""
