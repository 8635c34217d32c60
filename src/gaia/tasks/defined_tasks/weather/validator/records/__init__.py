"""All SQL of the weather task, one file for each group of tables. The steps of a run and the command line import it."""
