"""`python -m nnperm_mlflow` is `nnperm`."""

from nnperm_mlflow.cli.main import main

main()
