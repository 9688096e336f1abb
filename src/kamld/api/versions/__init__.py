"""What a version gives from Python: how it differs from another, and itself as examples for training."""
