"""`qualitrace alerts`: what operators ask about alerts and receivers from a terminal."""
