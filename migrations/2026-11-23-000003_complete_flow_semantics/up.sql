-- What flows mean beyond one straight pass: retries and error handling, loops and child runs, approvals and signals,
-- forks, limits of open runs, and changes for those who watch many runs.

ALTER TABLE flow_revisions
    ADD COLUMN max_open_runs integer,
    ADD COLUMN concurrency_key text NOT NULL DEFAULT '',
    ADD COLUMN on_conflict text,
    ADD CONSTRAINT flow_revisions_max_open_runs_positive CHECK (max_open_runs >= 1),
    ADD CONSTRAINT flow_revisions_on_conflict_known CHECK (on_conflict IN ('QUEUE', 'REJECT', 'CANCEL_RUNNING'));

COMMENT ON COLUMN flow_revisions.max_open_runs IS 'The most runs that may be open at once for each concurrency key; no limit without one.';
COMMENT ON COLUMN flow_revisions.concurrency_key IS 'Template over a run''s input by which open runs are counted apart; empty counts all runs of the flow together.';
COMMENT ON COLUMN flow_revisions.on_conflict IS 'What becomes of a run over the limit of open runs; QUEUE without one.';

ALTER TABLE flow_nodes
    ADD COLUMN retry jsonb,
    ADD COLUMN on_error jsonb,
    ADD CONSTRAINT flow_nodes_retry_object CHECK (jsonb_typeof(retry) = 'object'),
    ADD CONSTRAINT flow_nodes_on_error_object CHECK (jsonb_typeof(on_error) = 'object');

COMMENT ON COLUMN flow_nodes.retry IS 'How failed attempts are repeated; never without one.';
COMMENT ON COLUMN flow_nodes.on_error IS 'What follows when the last attempt has failed; the run fails without one.';

ALTER TABLE workflow_runs
    -- The run whose step waits for this one, and that step.
    ADD COLUMN parent_run_id uuid,
    ADD COLUMN parent_path text,
    -- Whether the parent has been told of the end of this run; true where there is nothing to tell.
    ADD COLUMN told boolean NOT NULL DEFAULT true,
    -- The run whose recorded outputs this one may use.
    ADD COLUMN forked_from uuid,
    -- What it counts under for its flow's max_open_runs, and whether it may run by that limit.
    ADD COLUMN concurrency_key text,
    ADD COLUMN admitted boolean NOT NULL DEFAULT true,
    -- The transaction that changed the state last: what watchers of many runs read changes by.
    ADD COLUMN changed_in bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT runs_parent_is_whole CHECK ((parent_run_id IS NULL) = (parent_path IS NULL)),
    ADD CONSTRAINT runs_told_when_child CHECK (told OR parent_run_id IS NOT NULL),
    ADD CONSTRAINT runs_admitted_without_key CHECK (admitted OR concurrency_key IS NOT NULL);

-- The tick claims by priority first. An older binary does as well with it as with the index that it replaces.
CREATE INDEX workflow_runs_due_by_priority ON workflow_runs (priority, wake_at) WHERE wake_at IS NOT NULL;
DROP INDEX workflow_runs_due;
-- Children of a run: to cancel them with it, and to show them.
CREATE INDEX workflow_runs_by_parent ON workflow_runs (namespace, parent_run_id) WHERE parent_run_id IS NOT NULL;
-- The tick: children that have ended and whose parent does not know.
CREATE INDEX workflow_runs_untold ON workflow_runs (ended_at) WHERE NOT told AND ended_at IS NOT NULL;
-- Open forks of a run, which still read its outputs.
CREATE INDEX workflow_runs_by_origin ON workflow_runs (namespace, forked_from) WHERE forked_from IS NOT NULL AND ended_at IS NULL;
-- Who is open and who waits under one concurrency key.
CREATE INDEX workflow_runs_by_concurrency ON workflow_runs (namespace, concurrency_key, admitted, run_id)
    WHERE concurrency_key IS NOT NULL AND ended_at IS NULL;
-- Who waits, in the order in which they are let in.
CREATE INDEX workflow_runs_queued ON workflow_runs (namespace, concurrency_key, priority DESC, run_id)
    WHERE NOT admitted AND ended_at IS NULL;
-- Changes since the last look.
CREATE INDEX workflow_runs_by_change ON workflow_runs (namespace, changed_in);

ALTER TABLE run_inbox DROP CONSTRAINT run_inbox_kind_is_known;
ALTER TABLE run_inbox ADD CONSTRAINT run_inbox_kind_is_known CHECK (
    kind IN ('CANCEL', 'PAUSE', 'RESUME', 'SIGNAL', 'APPROVAL', 'RESOLVE', 'CHILD_ENDED', 'ADMITTED')
);

-- Approvals that somebody is asked for right now; what was decided is in run_events.
CREATE TABLE approvals (
    namespace text NOT NULL,
    run_id uuid NOT NULL,
    step_path text NOT NULL,
    attempt integer NOT NULL,
    flow_key bigint NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    -- JSON schema of the values that a decision carries; any object without one.
    form_schema json,
    requested_at timestamptz NOT NULL,
    -- When it decides itself, and how; never without a time.
    expires_at timestamptz,
    default_decision text,
    -- Names this request for one decision: the sequence of the event that asked.
    etag text NOT NULL,
    PRIMARY KEY (namespace, run_id, step_path, attempt),
    CONSTRAINT approvals_attempt_from_one CHECK (attempt >= 1),
    CONSTRAINT approvals_default_decision_known CHECK (default_decision IN ('APPROVED', 'REJECTED'))
);

-- ListApprovals, oldest first.
CREATE INDEX approvals_by_time ON approvals (namespace, requested_at, run_id, step_path);

-- Which signals were accepted already, by the client's name for the request, for 24 hours.
CREATE TABLE signal_requests (
    namespace text NOT NULL,
    run_id uuid NOT NULL,
    request_id text NOT NULL,
    -- SHA-256 of the request as the client sent it, in canonical form.
    body_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, run_id, request_id),
    CONSTRAINT signal_requests_hash_is_sha256 CHECK (octet_length(body_hash) = 32)
);

-- Removal of what has expired.
CREATE INDEX signal_requests_expired ON signal_requests (expires_at);
