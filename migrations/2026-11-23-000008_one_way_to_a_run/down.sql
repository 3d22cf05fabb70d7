CREATE INDEX workflow_runs_by_change ON workflow_runs (namespace, changed_in);
CREATE INDEX workflow_runs_by_state ON workflow_runs (namespace, state, run_id);
CREATE INDEX workflow_runs_by_flow ON workflow_runs (namespace, flow_key, run_id);
DROP INDEX workflow_runs_changed;
DROP INDEX workflow_runs_in_state;
DROP INDEX workflow_runs_of_flow;
