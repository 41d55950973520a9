"""The built-in boards as YAML: cores/, storage/ and boards/, every number with its source."""
