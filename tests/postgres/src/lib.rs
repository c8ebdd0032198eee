//! A PostgreSQL server for tests, thrown away after them.
