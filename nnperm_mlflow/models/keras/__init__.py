"""Keras networks on TensorFlow: their graph, run by branches."""
