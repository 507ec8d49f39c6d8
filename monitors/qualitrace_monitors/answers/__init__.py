"""Answers as people read them: their texts, what judges and people said of them, and how they are found."""
