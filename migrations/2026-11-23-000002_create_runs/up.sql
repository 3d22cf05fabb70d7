-- Runs and their history. What grows with time (workflow_runs, run_events, payload_chunks) is partitioned by run id:
-- a run id is a UUIDv7, which is ordered by time, so that old history leaves by dropping a partition. The service
-- makes partitions ahead of time; there is no default partition.

-- One start of the service's process. It owns the runs that name it until its lease is over.
CREATE TABLE executors (
    executor_id uuid PRIMARY KEY,
    -- Where other replicas reach it; empty if they cannot.
    address text NOT NULL,
    version text NOT NULL,
    -- The highest event format that it reads and writes.
    event_format smallint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    -- It has ended in order: its runs may be taken over at once.
    retired boolean NOT NULL DEFAULT false
);

-- The projection that lists and dashboards read; the truth is in run_events.
CREATE TABLE workflow_runs (
    namespace text NOT NULL,
    run_id uuid NOT NULL,
    -- No foreign key: deleting a flow would lock each of its runs and fail their flushes.
    flow_key bigint NOT NULL,
    revision integer NOT NULL,
    state text NOT NULL,
    wait_reason text,
    priority integer NOT NULL DEFAULT 0,
    labels jsonb NOT NULL DEFAULT '{}',
    request_id text,
    executor_id uuid,
    -- Raised at each change of owner, never cleared: with the executor and last_sequence it is the fence of each write.
    epoch bigint NOT NULL DEFAULT 0,
    last_sequence bigint NOT NULL DEFAULT 0,
    -- How many inbox rows were ever written for the run.
    inbox_count bigint NOT NULL DEFAULT 0,
    -- The highest format among its events.
    event_format smallint NOT NULL,
    -- When somebody has to look at a run that nobody owns.
    wake_at timestamptz,
    total_steps integer NOT NULL,
    progress integer NOT NULL DEFAULT 0,
    error jsonb,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (namespace, run_id),
    CONSTRAINT runs_state_is_known CHECK (
        state IN ('QUEUED', 'RUNNING', 'WAITING', 'PAUSED', 'CANCELLING', 'SUCCEEDED', 'FAILED', 'CANCELLED')
    ),
    CONSTRAINT runs_end_time_when_final CHECK (
        (state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (ended_at IS NOT NULL)
    ),
    CONSTRAINT runs_error_when_failed CHECK ((state = 'FAILED') = (error IS NOT NULL)),
    CONSTRAINT runs_wait_reason_when_waiting CHECK ((state = 'WAITING') = (wait_reason IS NOT NULL)),
    CONSTRAINT runs_open_have_owner_or_wake_up CHECK (
        (ended_at IS NULL AND (executor_id IS NULL) = (wake_at IS NOT NULL))
        OR (ended_at IS NOT NULL AND executor_id IS NULL AND wake_at IS NULL)
    ),
    CONSTRAINT runs_progress_within_total CHECK (progress BETWEEN 0 AND total_steps)
) PARTITION BY RANGE (run_id);

-- ListRuns by flow, and whether a flow has open runs.
CREATE INDEX workflow_runs_by_flow ON workflow_runs (namespace, flow_key, run_id);
-- ListRuns by state.
CREATE INDEX workflow_runs_by_state ON workflow_runs (namespace, state, run_id);
-- ListRuns by labels; most runs have none and cost nothing here.
CREATE INDEX workflow_runs_by_label ON workflow_runs USING gin (labels jsonb_path_ops) WHERE labels <> '{}';
-- The tick: what is due, and what a dead executor left. They serve the engine, of all namespaces, and no request.
CREATE INDEX workflow_runs_due ON workflow_runs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX workflow_runs_owned ON workflow_runs (executor_id) WHERE executor_id IS NOT NULL;

-- The journal: append-only, one row an event.
CREATE TABLE run_events (
    namespace text NOT NULL,
    run_id uuid NOT NULL,
    -- 1, 2, 3 ... without gaps.
    sequence bigint NOT NULL,
    -- The epoch of the owner that wrote it: tells, after a lost connection, whose write came through.
    epoch bigint NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    -- Fields of the event. json and not jsonb: it is written and read whole, never searched by the service.
    data json NOT NULL,
    -- A run's input or output, a step's output, unless it lies in payload_chunks.
    payload json,
    PRIMARY KEY (namespace, run_id, sequence),
    CONSTRAINT run_events_sequence_from_one CHECK (sequence >= 1)
) PARTITION BY RANGE (run_id);

-- Payloads too large to lie beside their event, in pieces of at most 256 KiB.
CREATE TABLE payload_chunks (
    namespace text NOT NULL,
    run_id uuid NOT NULL,
    step_path text NOT NULL,
    attempt integer NOT NULL,
    epoch bigint NOT NULL,
    chunk integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (namespace, run_id, step_path, attempt, epoch, chunk),
    CONSTRAINT payload_chunks_are_bounded CHECK (octet_length(data) BETWEEN 1 AND 262144)
) PARTITION BY RANGE (run_id);

-- What callers ask of a run, on whichever replica; its owner turns each row into an event and deletes it in one flush.
CREATE TABLE run_inbox (
    namespace text NOT NULL,
    run_id uuid NOT NULL,
    inbox_id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    data json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, run_id, inbox_id),
    CONSTRAINT run_inbox_kind_is_known CHECK (kind IN ('CANCEL'))
);

-- Which run a request id has started, for 24 hours.
CREATE TABLE start_requests (
    namespace text NOT NULL,
    request_id text NOT NULL,
    -- SHA-256 of the request as the client sent it, in canonical form.
    body_hash bytea NOT NULL,
    run_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, request_id),
    CONSTRAINT start_requests_hash_is_sha256 CHECK (octet_length(body_hash) = 32)
);

-- Removal of what has expired.
CREATE INDEX start_requests_expired ON start_requests (expires_at);
