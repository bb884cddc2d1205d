"""MLflow: what is logged, how, and the model registry."""
