"""Databases with every kind of constraint, for tests of variants."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def database(path: Path, script: str) -> Path:
    """Write a database file from a script; the folder above it is made."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


SCHOOL = """
CREATE TABLE town (id INTEGER PRIMARY KEY, name TEXT NOT NULL, people INTEGER, founded TEXT);
CREATE TABLE school (id INTEGER PRIMARY KEY, town_id INTEGER REFERENCES town(id), name TEXT, size INT,
                     fee TEXT, UNIQUE (town_id, name));
CREATE TABLE pupil (id INTEGER PRIMARY KEY, school INTEGER NOT NULL REFERENCES school, age INTEGER,
                    grade REAL, "home town" TEXT, photo BLOB);
CREATE TABLE visit (pupil INTEGER REFERENCES pupil(id), town INTEGER REFERENCES town(id), day DATE,
                    PRIMARY KEY (pupil, town));
INSERT INTO town VALUES (1, 'Ulm', 126000, '1181-05-01'), (2, 'Bonn', 330000, '1243-01-12'),
                        (3, 'Kiel', 247000, '1233-11-30'), (4, 'Jena', 111000, '1236-02-02');
INSERT INTO school VALUES
    (1, 1, 'North', 300, '12.50'), (2, 1, 'South', 500, '9.00'), (3, 2, 'North', 120, '0'),
    (4, 3, 'Lake', 800, 'none'), (5, NULL, 'Online', 60, NULL);
INSERT INTO pupil VALUES
    (1, 1, 7, 1.3, 'Ulm', x'00ff'), (2, 1, 9, 2.0, 'Ulm', NULL), (3, 2, 12, 2.7, 'Jena', x''),
    (4, 3, 12, 1.0, NULL, x'01'), (5, 4, 16, 3.3, 'Kiel', NULL), (6, 4, 8, NULL, 'Kiel', NULL);
INSERT INTO visit VALUES
    (1, 2, '2020-01-05'), (1, 3, '2020-02-05'), (2, 2, '2021-07-30'), (5, 1, '2021-12-31');
"""
