"""What a process needs beside its work: set-up at the start, and loops in threads."""
