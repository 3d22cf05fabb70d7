DROP TABLE start_requests;
DROP TABLE run_inbox;
DROP TABLE payload_chunks;
DROP TABLE run_events;
DROP TABLE workflow_runs;
DROP TABLE executors;
