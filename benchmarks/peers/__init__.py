"""Other tools and ours on the same models in one run: python -m benchmarks.peers."""
