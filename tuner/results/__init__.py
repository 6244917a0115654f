"""After the search: ranking, confirmation, retraining, test metrics, the model card and prediction."""
