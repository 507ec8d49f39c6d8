"""How qualitrace and MLflow do on a PostgreSQL that holds millions of spans."""
