"""`qualitrace judge`: scores the rows of a file."""
