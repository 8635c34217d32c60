"""Durable jobs: puts them into the queue on schedule, claims them, and runs their steps."""
