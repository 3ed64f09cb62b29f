"""Runs networks: OpenVINO, ONNX Runtime, OpenCV or PyTorch, on a CPU or a GPU."""
