"""The packer's parts: the problem, first fit, the search, and the exact solver."""
