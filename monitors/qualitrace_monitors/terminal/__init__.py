"""`qualitrace status` and `qualitrace tail`: how a server is doing, seen from a terminal."""
