"""How fast traces are taken in: qualitrace beside `mlflow server`, on the same load, disk and cores."""
