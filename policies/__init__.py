"""The built-in policies, one a file; an outsider registers its own the same way."""
