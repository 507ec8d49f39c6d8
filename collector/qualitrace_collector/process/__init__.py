"""What a process of ours needs besides its work: loops, logs, garbage, MLflow's settings."""
