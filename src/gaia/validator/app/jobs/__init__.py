"""Durable jobs: who puts them on schedule, who claims them, who works on them."""
