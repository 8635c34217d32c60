"""PostgreSQL: the embedded server, the connection pool, the schema, the job queue."""
