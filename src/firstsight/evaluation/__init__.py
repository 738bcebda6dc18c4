"""What a model is worth: protocols over the real gallery and decision, bounds, plots and the report."""
