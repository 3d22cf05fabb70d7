-- What claims of a busy service go by: which namespaces have something due, and how many runs are in the queue. They
-- serve the engine, of all namespaces, and no request. A binary that does not find them claims by age alone.

-- From one namespace to the next, at each priority.
CREATE INDEX workflow_runs_due_by_namespace ON workflow_runs (priority, namespace, wake_at) WHERE wake_at IS NOT NULL;
-- The queue of all, which is counted up to its limit.
CREATE INDEX workflow_runs_in_queue ON workflow_runs (namespace, run_id) WHERE state = 'QUEUED';
