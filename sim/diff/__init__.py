"""Two results side by side: what was read, what differs, and why."""
