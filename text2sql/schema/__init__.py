"""Database schemas: read from prose, SQLite files or CREATE TABLE text, and written as CREATE TABLE text."""
