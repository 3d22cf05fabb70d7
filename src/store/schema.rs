// @generated automatically by Diesel CLI.

pub mod sql_types {
    #[derive(diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "tsvector", schema = "pg_catalog"))]
    pub struct Tsvector;
}

diesel::table! {
    approvals (namespace, run_id, step_path, attempt) {
        namespace -> Text,
        run_id -> Uuid,
        step_path -> Text,
        attempt -> Int4,
        flow_key -> Int8,
        title -> Text,
        description -> Text,
        form_schema -> Nullable<Json>,
        requested_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        default_decision -> Nullable<Text>,
        etag -> Text,
    }
}

diesel::table! {
    executors (executor_id) {
        executor_id -> Uuid,
        address -> Text,
        version -> Text,
        event_format -> Int2,
        started_at -> Timestamptz,
        lease_until -> Timestamptz,
        retired -> Bool,
    }
}

diesel::table! {
    /// The edges of a revision: what carries the output of a node to another.
    flow_edges (namespace, flow_key, revision, ordinal) {
        namespace -> Text,
        flow_key -> Int8,
        revision -> Int4,
        /// Its place in the order of the author, from 0, in which merge reads its inputs.
        ordinal -> Int4,
        edge_id -> Text,
        source -> Text,
        target -> Text,
        /// The port of the source that it leaves by; empty for the only one.
        source_handle -> Text,
        /// Kept for editors, never read.
        target_handle -> Text,
        /// Kept for editors, never read.
        animated -> Bool,
    }
}

diesel::table! {
    /// The nodes of a revision: each one use of an applet.
    flow_nodes (namespace, flow_key, revision, node_id) {
        namespace -> Text,
        flow_key -> Int8,
        revision -> Int4,
        node_id -> Text,
        /// Its place in the order of the author, from 0.
        ordinal -> Int4,
        /// Which applet it is.
        kind -> Text,
        position_x -> Float8,
        position_y -> Float8,
        /// The applet's config.
        data -> Jsonb,
        display_name -> Text,
        /// The longest that an attempt may take; the applet's default without one.
        timeout_ms -> Nullable<Int8>,
        /// What a crash during an attempt allows; what the applet says without one.
        effect -> Nullable<Text>,
        /// How failed attempts are repeated; never without one.
        retry -> Nullable<Jsonb>,
        /// What follows when the last attempt has failed; the run fails without one.
        on_error -> Nullable<Jsonb>,
    }
}

diesel::table! {
    /// One version of a flow's graph. Never changed once written.
    flow_revisions (namespace, flow_key, revision) {
        namespace -> Text,
        flow_key -> Int8,
        /// Counted from 1 without gaps.
        revision -> Int4,
        /// SHA-256 of the graph in RFC 8785 form: the same graph again makes no new revision.
        content_hash -> Bytea,
        /// JSON schema of a run's input; anything goes without one.
        input_schema -> Nullable<Jsonb>,
        /// The longest that a run may take; the service's longest without one.
        run_timeout_ms -> Nullable<Int8>,
        /// The most steps of one run that execute at once; the service's number without one.
        max_parallel_steps -> Nullable<Int4>,
        node_count -> Int4,
        edge_count -> Int4,
        created_at -> Timestamptz,
        /// The most runs that may be open at once for each concurrency key; no limit without one.
        max_open_runs -> Nullable<Int4>,
        /// Template over a run's input by which open runs are counted apart; empty counts all runs of the flow together.
        concurrency_key -> Text,
        /// What becomes of a run over the limit of open runs; QUEUE without one.
        on_conflict -> Nullable<Text>,
    }
}

diesel::table! {
    /// A stored graph under its name; what it says is in its revisions.
    flows (namespace, flow_key) {
        /// Whose flow it is.
        namespace -> Text,
        /// What runs refer to: a flow created again under the same id has another.
        flow_key -> Int8,
        /// The name that clients know: unique in the namespace among flows that are not deleted.
        flow_id -> Text,
        name -> Text,
        description -> Text,
        /// Texts by key, to find the flow by.
        labels -> Jsonb,
        /// The number of the newest revision.
        latest_revision -> Int4,
        /// Raised by each write: what the etag is made of.
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        /// Set when the flow was deleted: nobody but its runs sees it from then on.
        deleted_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Tsvector;

    /// What memory nodes keep.
    memories (namespace, collection, key) {
        namespace -> Text,
        /// The namespace of the node's config: a part of the caller's namespace.
        collection -> Text,
        key -> Text,
        value -> Json,
        tags -> Array<Nullable<Text>>,
        /// The text search configuration that made the words.
        language -> Text,
        /// The words of the value (weight A), of key and tags (B), and marks of the collection and of each tag in it.
        words -> Tsvector,
        /// Bytes of value, key and tags as compact JSON.
        size_bytes -> Int8,
        /// Hashes of the idempotency keys of the last writes, the newest first: a repeated write finds itself.
        writers -> Array<Nullable<Text>>,
        run_id -> Uuid,
        node_id -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// How much is kept in memories, by shards whose sum counts.
    memory_usage (namespace, collection, shard) {
        namespace -> Text,
        /// Empty for the whole namespace.
        collection -> Text,
        shard -> Int2,
        entries -> Int8,
        size_bytes -> Int8,
    }
}

diesel::table! {
    payload_chunks (namespace, run_id, step_path, attempt, epoch, chunk) {
        namespace -> Text,
        run_id -> Uuid,
        step_path -> Text,
        attempt -> Int4,
        epoch -> Int8,
        chunk -> Int4,
        data -> Bytea,
    }
}

diesel::table! {
    run_events (namespace, run_id, sequence) {
        namespace -> Text,
        run_id -> Uuid,
        sequence -> Int8,
        epoch -> Int8,
        at -> Timestamptz,
        kind -> Text,
        data -> Json,
        payload -> Nullable<Json>,
    }
}

diesel::table! {
    run_inbox (namespace, run_id, inbox_id) {
        namespace -> Text,
        run_id -> Uuid,
        inbox_id -> Int8,
        kind -> Text,
        data -> Json,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// The values of secrets, sealed with XChaCha20-Poly1305.
    secret_versions (namespace, name, version) {
        namespace -> Text,
        name -> Text,
        version -> Int4,
        /// Nonce, sealed value and tag; namespace, name and version are authenticated with it.
        sealed -> Bytea,
        /// The key that it is sealed with: the first 8 hexadecimal digits of its SHA-256.
        key_id -> Text,
        /// Whether steps may use it: the newest enabled version counts.
        enabled -> Bool,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// What is known of a secret beside its values.
    secrets (namespace, name) {
        /// Whose secret it is.
        namespace -> Text,
        /// What flows call it, below `secrets`.
        name -> Text,
        description -> Text,
        /// The hosts that its values are sent to; empty for any.
        hosts -> Jsonb,
        /// The number of the newest version.
        latest_version -> Int4,
        /// Another one after each change: by it processes notice that what they hold in memory is old.
        edition -> Uuid,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    signal_requests (namespace, run_id, request_id) {
        namespace -> Text,
        run_id -> Uuid,
        request_id -> Text,
        body_hash -> Bytea,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    start_requests (namespace, request_id) {
        namespace -> Text,
        request_id -> Text,
        body_hash -> Bytea,
        run_id -> Uuid,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    workflow_runs (namespace, run_id) {
        namespace -> Text,
        run_id -> Uuid,
        flow_key -> Int8,
        revision -> Int4,
        state -> Text,
        wait_reason -> Nullable<Text>,
        priority -> Int4,
        labels -> Jsonb,
        request_id -> Nullable<Text>,
        executor_id -> Nullable<Uuid>,
        epoch -> Int8,
        last_sequence -> Int8,
        inbox_count -> Int8,
        event_format -> Int2,
        wake_at -> Nullable<Timestamptz>,
        total_steps -> Int4,
        progress -> Int4,
        error -> Nullable<Jsonb>,
        created_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        ended_at -> Nullable<Timestamptz>,
        parent_run_id -> Nullable<Uuid>,
        parent_path -> Nullable<Text>,
        told -> Bool,
        forked_from -> Nullable<Uuid>,
        concurrency_key -> Nullable<Text>,
        admitted -> Bool,
        changed_in -> Int8,
        input_tokens -> Int8,
        output_tokens -> Int8,
        cost_micro_usd -> Int8,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    approvals,
    executors,
    flow_edges,
    flow_nodes,
    flow_revisions,
    flows,
    memories,
    memory_usage,
    payload_chunks,
    run_events,
    run_inbox,
    secret_versions,
    secrets,
    signal_requests,
    start_requests,
    workflow_runs,
);
