"""Models ready to run, and what their answers say. onnxruntime is imported here only."""
