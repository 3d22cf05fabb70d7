// @generated automatically by Diesel CLI.

diesel::table! {
    flows (flow_key) {
        flow_key -> Int8,
        namespace -> Text,
        flow_id -> Text,
        deleted_at -> Nullable<Timestamptz>,
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
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    executors,
    flows,
    payload_chunks,
    run_events,
    run_inbox,
    start_requests,
    workflow_runs,
);
