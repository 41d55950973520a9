"""Where the models in scenarios/models come from: `python -m scenarios.train` makes them all."""
