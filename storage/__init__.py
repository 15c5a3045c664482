"""Results and ledger in SQLite or Postgres."""
