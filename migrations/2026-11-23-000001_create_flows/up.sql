-- Flows and their immutable revisions. Every key starts with the namespace, because every request does.

CREATE TABLE flows (
    namespace text COLLATE "C" NOT NULL,
    flow_key bigint GENERATED ALWAYS AS IDENTITY,
    flow_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    labels jsonb NOT NULL,
    latest_revision integer NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT flows_pkey PRIMARY KEY (namespace, flow_key),
    CONSTRAINT flows_namespace_length CHECK (char_length(namespace) BETWEEN 1 AND 200),
    CONSTRAINT flows_flow_id_form CHECK (flow_id ~ '^[A-Za-z0-9_.-]{1,200}$'),
    CONSTRAINT flows_name_length CHECK (char_length(name) <= 200),
    CONSTRAINT flows_description_length CHECK (char_length(description) <= 4000),
    CONSTRAINT flows_labels_object CHECK (jsonb_typeof(labels) = 'object'),
    CONSTRAINT flows_latest_revision_positive CHECK (latest_revision >= 1),
    CONSTRAINT flows_version_positive CHECK (version >= 1)
);

-- A deleted flow gives its id free at once.
CREATE UNIQUE INDEX flows_flow_id_unique ON flows (namespace, flow_id) WHERE deleted_at IS NULL;
-- Lists, in both directions.
CREATE INDEX flows_by_created_at ON flows (namespace, created_at, flow_id) WHERE deleted_at IS NULL;
CREATE INDEX flows_by_updated_at ON flows (namespace, updated_at, flow_id) WHERE deleted_at IS NULL;

COMMENT ON TABLE flows IS 'A stored graph under its name; what it says is in its revisions.';
COMMENT ON COLUMN flows.namespace IS 'Whose flow it is.';
COMMENT ON COLUMN flows.flow_key IS 'What runs refer to: a flow created again under the same id has another.';
COMMENT ON COLUMN flows.flow_id IS 'The name that clients know: unique in the namespace among flows that are not deleted.';
COMMENT ON COLUMN flows.labels IS 'Texts by key, to find the flow by.';
COMMENT ON COLUMN flows.latest_revision IS 'The number of the newest revision.';
COMMENT ON COLUMN flows.version IS 'Raised by each write: what the etag is made of.';
COMMENT ON COLUMN flows.deleted_at IS 'Set when the flow was deleted: nobody but its runs sees it from then on.';

CREATE TABLE flow_revisions (
    namespace text COLLATE "C" NOT NULL,
    flow_key bigint NOT NULL,
    revision integer NOT NULL,
    content_hash bytea NOT NULL,
    input_schema jsonb,
    run_timeout_ms bigint,
    max_parallel_steps integer,
    node_count integer NOT NULL,
    edge_count integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT flow_revisions_pkey PRIMARY KEY (namespace, flow_key, revision),
    CONSTRAINT flow_revisions_flow_fkey FOREIGN KEY (namespace, flow_key)
        REFERENCES flows (namespace, flow_key) ON DELETE CASCADE,
    CONSTRAINT flow_revisions_revision_positive CHECK (revision >= 1),
    CONSTRAINT flow_revisions_content_hash_sha256 CHECK (octet_length(content_hash) = 32),
    CONSTRAINT flow_revisions_input_schema_object CHECK (jsonb_typeof(input_schema) = 'object'),
    CONSTRAINT flow_revisions_run_timeout_positive CHECK (run_timeout_ms > 0),
    CONSTRAINT flow_revisions_max_parallel_steps_range CHECK (max_parallel_steps BETWEEN 1 AND 1000),
    CONSTRAINT flow_revisions_counts_not_negative CHECK (node_count >= 1 AND edge_count >= 0)
);

COMMENT ON TABLE flow_revisions IS 'One version of a flow''s graph. Never changed once written.';
COMMENT ON COLUMN flow_revisions.revision IS 'Counted from 1 without gaps.';
COMMENT ON COLUMN flow_revisions.content_hash IS 'SHA-256 of the graph in RFC 8785 form: the same graph again makes no new revision.';
COMMENT ON COLUMN flow_revisions.input_schema IS 'JSON schema of a run''s input; anything goes without one.';
COMMENT ON COLUMN flow_revisions.run_timeout_ms IS 'The longest that a run may take; the service''s longest without one.';
COMMENT ON COLUMN flow_revisions.max_parallel_steps IS 'The most steps of one run that execute at once; the service''s number without one.';

-- The key is the only index: the foreign keys of edges may take a second one that begins alike, and would then read
-- all nodes of the revision for each edge.
CREATE TABLE flow_nodes (
    namespace text COLLATE "C" NOT NULL,
    flow_key bigint NOT NULL,
    revision integer NOT NULL,
    node_id text COLLATE "C" NOT NULL,
    ordinal integer NOT NULL,
    kind text NOT NULL,
    position_x double precision NOT NULL,
    position_y double precision NOT NULL,
    data jsonb NOT NULL,
    display_name text NOT NULL,
    timeout_ms bigint,
    effect text,
    CONSTRAINT flow_nodes_pkey PRIMARY KEY (namespace, flow_key, revision, node_id),
    CONSTRAINT flow_nodes_revision_fkey FOREIGN KEY (namespace, flow_key, revision)
        REFERENCES flow_revisions (namespace, flow_key, revision) ON DELETE CASCADE,
    CONSTRAINT flow_nodes_node_id_length CHECK (char_length(node_id) BETWEEN 1 AND 200),
    CONSTRAINT flow_nodes_ordinal_not_negative CHECK (ordinal >= 0),
    CONSTRAINT flow_nodes_kind_length CHECK (char_length(kind) BETWEEN 1 AND 100),
    CONSTRAINT flow_nodes_data_object CHECK (jsonb_typeof(data) = 'object'),
    CONSTRAINT flow_nodes_display_name_length CHECK (char_length(display_name) <= 200),
    CONSTRAINT flow_nodes_timeout_positive CHECK (timeout_ms > 0),
    CONSTRAINT flow_nodes_effect_known CHECK (effect IN ('PURE', 'IDEMPOTENT', 'AT_MOST_ONCE'))
);

COMMENT ON TABLE flow_nodes IS 'The nodes of a revision: each one use of an applet.';
COMMENT ON COLUMN flow_nodes.ordinal IS 'Its place in the order of the author, from 0.';
COMMENT ON COLUMN flow_nodes.kind IS 'Which applet it is.';
COMMENT ON COLUMN flow_nodes.data IS 'The applet''s config.';
COMMENT ON COLUMN flow_nodes.timeout_ms IS 'The longest that an attempt may take; the applet''s default without one.';
COMMENT ON COLUMN flow_nodes.effect IS 'What a crash during an attempt allows; what the applet says without one.';

CREATE TABLE flow_edges (
    namespace text COLLATE "C" NOT NULL,
    flow_key bigint NOT NULL,
    revision integer NOT NULL,
    ordinal integer NOT NULL,
    edge_id text NOT NULL,
    source text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    source_handle text NOT NULL,
    target_handle text NOT NULL,
    animated boolean NOT NULL,
    CONSTRAINT flow_edges_pkey PRIMARY KEY (namespace, flow_key, revision, ordinal),
    CONSTRAINT flow_edges_revision_fkey FOREIGN KEY (namespace, flow_key, revision)
        REFERENCES flow_revisions (namespace, flow_key, revision) ON DELETE CASCADE,
    CONSTRAINT flow_edges_source_fkey FOREIGN KEY (namespace, flow_key, revision, source)
        REFERENCES flow_nodes (namespace, flow_key, revision, node_id) ON DELETE CASCADE,
    CONSTRAINT flow_edges_target_fkey FOREIGN KEY (namespace, flow_key, revision, target)
        REFERENCES flow_nodes (namespace, flow_key, revision, node_id) ON DELETE CASCADE,
    CONSTRAINT flow_edges_no_self_loop CHECK (source <> target),
    CONSTRAINT flow_edges_ordinal_not_negative CHECK (ordinal >= 0),
    CONSTRAINT flow_edges_edge_id_length CHECK (char_length(edge_id) <= 200),
    CONSTRAINT flow_edges_source_handle_length CHECK (char_length(source_handle) <= 300),
    CONSTRAINT flow_edges_target_handle_length CHECK (char_length(target_handle) <= 300)
);

-- Editors may leave the ids of edges out, but not use one twice.
CREATE UNIQUE INDEX flow_edges_edge_id_unique ON flow_edges (namespace, flow_key, revision, edge_id)
    WHERE edge_id <> '';

COMMENT ON TABLE flow_edges IS 'The edges of a revision: what carries the output of a node to another.';
COMMENT ON COLUMN flow_edges.ordinal IS 'Its place in the order of the author, from 0, in which merge reads its inputs.';
COMMENT ON COLUMN flow_edges.source_handle IS 'The port of the source that it leaves by; empty for the only one.';
COMMENT ON COLUMN flow_edges.target_handle IS 'Kept for editors, never read.';
COMMENT ON COLUMN flow_edges.animated IS 'Kept for editors, never read.';
