"""`python -m nnperm_mlflow` is `nnperm`."""

from nnperm_mlflow.cli import main

main()
