"""From the queue to the score: lease, judge, write the assessment, record."""
