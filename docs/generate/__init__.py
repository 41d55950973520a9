"""What docs/hooks.py makes when the site is built: pages of boards, pictures of policies."""
