"""Makes forecasts: chooses the model, and runs it in a process of its own, so that a model may crash or leak."""
