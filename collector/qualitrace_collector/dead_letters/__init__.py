"""What MLflow refused, or nobody could decode: kept, shown, replayed or dropped."""
