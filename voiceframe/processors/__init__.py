"""What may stand in a pipeline, by kind."""
