"""PostgreSQL: the embedded server, the pool, the schema, the job queue."""
