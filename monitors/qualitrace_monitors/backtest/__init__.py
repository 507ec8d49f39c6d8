"""Alert rules tried on the past, and on falls that are simulated."""
