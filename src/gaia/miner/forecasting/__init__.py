"""Makes forecasts: chooses the model, and runs it in its own process, so that a crash of the model does no harm."""
