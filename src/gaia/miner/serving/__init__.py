"""Answers validators: who may ask, what they get and when."""
