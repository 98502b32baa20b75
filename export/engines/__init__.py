"""ONNX graphs to TensorRT plans, and the cache that keeps them. Needs neither torch nor onnx."""
