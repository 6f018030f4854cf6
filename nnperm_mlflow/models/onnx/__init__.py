"""ONNX networks: their graph, run by branches in ONNX Runtime."""
