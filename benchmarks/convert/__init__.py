"""How fast spans are converted: qualitrace beside MLflow's own translation, on the same spans and one core."""
