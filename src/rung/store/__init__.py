"""SQL: what people rated (SQLite by default, PostgreSQL by URL), and its migrations.

`values` says what the store holds; the functions take a connection of `Store.reading` or
`Store.writing`, so that a caller decides what happens in one transaction.
"""
