-- Made by the service itself where Postgres has vectors.
DROP TABLE IF EXISTS memory_vectors;
DROP TABLE memory_usage;
DROP TABLE memories;
