"""The weather task: 10-day global forecasts, scored against analyses and reanalyses."""
