"""What runs: tensors, ops, graphs, and the .tflite files they live in."""
