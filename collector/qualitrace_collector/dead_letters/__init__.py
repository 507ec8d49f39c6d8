"""Dead letters: traces that MLflow refused and requests that nothing can decode; to list, show, replay or drop."""
