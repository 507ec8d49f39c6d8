"""What judges may spend, and how the rate follows from it."""
