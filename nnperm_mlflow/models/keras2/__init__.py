"""Networks that Keras 2 wrote, read and run by Keras 2 (the package tf-keras) where it is installed."""
