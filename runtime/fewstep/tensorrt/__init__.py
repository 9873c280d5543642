"""TensorRT engines from ONNX graphs, with `tensorrt` (Jetson, servers) or `tensorrt_rtx` (RTX cards); see docs/tensorrt.md."""
