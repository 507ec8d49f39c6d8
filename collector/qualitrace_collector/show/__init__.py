"""`qualitrace sample`: what judges see of a trace, and where each part of it comes from."""
