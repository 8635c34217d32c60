"""Answers validators: decides who may ask, and what they get at which time."""
