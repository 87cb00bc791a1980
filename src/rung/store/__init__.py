"""SQL: what people rated (SQLite by default, PostgreSQL by URL), and its migrations."""
