"""The built-in scenarios, one YAML an experiment, and their models."""
