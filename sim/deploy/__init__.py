"""What goes to the board: headers, and proof that the model still computes the same."""
