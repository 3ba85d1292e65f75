"""What must be true of a machine before it serves."""
