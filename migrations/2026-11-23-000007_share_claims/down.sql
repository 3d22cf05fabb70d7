DROP INDEX workflow_runs_in_queue;
DROP INDEX workflow_runs_due_by_namespace;
