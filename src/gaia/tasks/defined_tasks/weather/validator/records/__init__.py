"""The weather task's rows: all its SQL, one file per aggregate. The steps of a run and the command line import it."""
