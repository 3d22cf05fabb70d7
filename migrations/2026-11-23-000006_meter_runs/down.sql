ALTER TABLE workflow_runs
    DROP COLUMN input_tokens,
    DROP COLUMN output_tokens,
    DROP COLUMN cost_micro_usd;
