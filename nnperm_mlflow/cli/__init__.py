"""The commands of the command line, a module each; MLflow and TensorFlow are imported where a command runs."""
