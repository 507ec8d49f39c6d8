"""Which libraries are traced, by which instrumentor, and what is said of those that are not."""
