"""Database schemas: read from prose, SQLite files and CREATE TABLE text, written as CREATE TABLE."""
