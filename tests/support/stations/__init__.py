"""A second task, as small as one can be: tomorrow's temperature at 50 stations. It proves that a task needs nothing of
the weather, and that the validator need not know it.
"""
