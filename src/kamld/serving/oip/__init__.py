"""Open Inference Protocol v2: tensors, requests and answers as bytes. No network, no models."""
