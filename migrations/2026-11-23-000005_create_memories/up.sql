-- What `memory` nodes keep. Every key starts with the namespace; a collection is the author's word inside it.
CREATE TABLE memories (
    namespace text COLLATE "C" NOT NULL,
    collection text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    -- Not jsonb: the value comes back as it was, and nothing looks inside.
    value json NOT NULL,
    tags text[] NOT NULL,
    -- Text, not regconfig: pg_upgrade refuses tables with columns of that type.
    language text NOT NULL,
    words tsvector NOT NULL,
    size_bytes bigint NOT NULL,
    writers text[] NOT NULL,
    run_id uuid NOT NULL,
    node_id text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT memories_pkey PRIMARY KEY (namespace, collection, key),
    CONSTRAINT memories_collection_length CHECK (char_length(collection) BETWEEN 1 AND 200),
    CONSTRAINT memories_key_length CHECK (char_length(key) BETWEEN 1 AND 200),
    CONSTRAINT memories_size_from_zero CHECK (size_bytes >= 0)
);

COMMENT ON TABLE memories IS 'What memory nodes keep.';
COMMENT ON COLUMN memories.collection IS 'The namespace of the node''s config: a part of the caller''s namespace.';
COMMENT ON COLUMN memories.language IS 'The text search configuration that made the words.';
COMMENT ON COLUMN memories.words IS 'The words of the value (weight A), of key and tags (B), and marks of the collection and of each tag in it.';
COMMENT ON COLUMN memories.size_bytes IS 'Bytes of value, key and tags as compact JSON.';
COMMENT ON COLUMN memories.writers IS 'Hashes of the idempotency keys of the last writes, the newest first: a repeated write finds itself.';

-- Search. GIN takes no plain column without the extension btree_gin, which is not to be had everywhere; the marks
-- among the words stand in for namespace and collection, so that no other collection's entries are read.
CREATE INDEX memories_by_words ON memories USING gin (words);
-- What was written last.
CREATE INDEX memories_newest ON memories (namespace, collection, updated_at DESC, key);

-- How much is kept: of a collection, and under the empty collection of the whole namespace. What is kept is the sum
-- over the shards; one shard alone may be negative. Sixteen of them, so that writes do not queue for one row.
CREATE TABLE memory_usage (
    namespace text COLLATE "C" NOT NULL,
    collection text COLLATE "C" NOT NULL,
    shard smallint NOT NULL,
    entries bigint NOT NULL,
    size_bytes bigint NOT NULL,
    CONSTRAINT memory_usage_pkey PRIMARY KEY (namespace, collection, shard),
    CONSTRAINT memory_usage_shard_known CHECK (shard BETWEEN 0 AND 15)
) WITH (fillfactor = 50);

COMMENT ON TABLE memory_usage IS 'How much is kept in memories, by shards whose sum counts.';
COMMENT ON COLUMN memory_usage.collection IS 'Empty for the whole namespace.';
