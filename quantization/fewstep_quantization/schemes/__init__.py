"""How the layers of a graph become integers, one scheme a file. Each takes a prepared FP32 graph and gives one that ONNX Runtime runs."""
