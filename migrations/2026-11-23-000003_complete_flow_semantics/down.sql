DROP TABLE signal_requests;
DROP TABLE approvals;

DELETE FROM run_inbox WHERE kind <> 'CANCEL';
ALTER TABLE run_inbox DROP CONSTRAINT run_inbox_kind_is_known;
ALTER TABLE run_inbox ADD CONSTRAINT run_inbox_kind_is_known CHECK (kind IN ('CANCEL'));

CREATE INDEX workflow_runs_due ON workflow_runs (wake_at) WHERE wake_at IS NOT NULL;
DROP INDEX workflow_runs_by_change;
DROP INDEX workflow_runs_queued;
DROP INDEX workflow_runs_by_concurrency;
DROP INDEX workflow_runs_by_origin;
DROP INDEX workflow_runs_untold;
DROP INDEX workflow_runs_by_parent;
DROP INDEX workflow_runs_due_by_priority;

ALTER TABLE workflow_runs
    DROP COLUMN parent_run_id,
    DROP COLUMN parent_path,
    DROP COLUMN told,
    DROP COLUMN forked_from,
    DROP COLUMN concurrency_key,
    DROP COLUMN admitted,
    DROP COLUMN changed_in;

ALTER TABLE flow_nodes DROP COLUMN retry, DROP COLUMN on_error;
ALTER TABLE flow_revisions DROP COLUMN max_open_runs, DROP COLUMN concurrency_key, DROP COLUMN on_conflict;
