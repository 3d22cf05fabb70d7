-- What the steps of a run have used, summed: lists and dashboards read it without the history.
-- Constant defaults: the table is not rewritten.
ALTER TABLE workflow_runs
    ADD COLUMN input_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN output_tokens bigint NOT NULL DEFAULT 0,
    -- In millionths of a US dollar.
    ADD COLUMN cost_micro_usd bigint NOT NULL DEFAULT 0;
