"""How fast traces get into MLflow's database: qualitrace beside MLflow's own store, on the same traces and database."""
