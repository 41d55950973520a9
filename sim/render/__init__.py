"""What people see: the tables."""
