//! `DiffRuns`: what differs between two runs, as their callers see them.
//!
//! Payloads are told apart by their hashes first, so that only those that differ are read, and of those only what
//! stays within a bound.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::checks::Checks;
use crate::api::convert::event::{reference, sequence_of};
use crate::api::convert::{diff as wire, run};
use crate::api::runs::run_key;
use crate::api::status::Result;
use crate::api::{Api, MOST_DIFFERENCE_BYTES, MOST_DIFFERENCES};
use crate::ids::{Namespace, RunKey};
use crate::proto::{
    DiffRunsRequest, DiffRunsResponse, DiffedRun, PayloadDiff, PayloadRef, RunError, Step,
    StepDiff, StepTiming, ValueDiff,
};
use crate::store::{self, events};
use crate::value::diff::{Budget, Difference, diff};

/// The most bytes of a payload that is looked into.
const LOOKED_INTO: i64 = 1 << 20;
/// The most bytes of payloads that are looked into for one answer.
const READ_BYTES: i64 = 32 << 20;
/// How many pairs of payloads are fetched at once.
const AT_ONCE: usize = 32;
/// The most steps whose times are told.
const TIMINGS: usize = 1_000;
/// About what a step or a payload takes in the answer beside its texts.
const FRAME: usize = 256;

/// One of the two runs.
struct Side {
    key: RunKey,
    run: crate::proto::Run,
    steps: Vec<Step>,
    input: Option<PayloadRef>,
    output: Option<PayloadRef>,
}

/// One place where each run may have a payload.
#[derive(Clone, Copy, Default)]
struct Pair<'a> {
    base: Option<&'a PayloadRef>,
    compare: Option<&'a PayloadRef>,
}

/// What may still be read and said.
struct Bounds {
    budget: Budget,
    bytes: i64,
}

impl Api {
    pub(super) async fn diff_runs_of(
        &self,
        namespace: Namespace,
        request: &DiffRunsRequest,
    ) -> Result<DiffRunsResponse> {
        let mut checks = Checks::default();
        let base = checks.uuid("base", &request.base);
        let compare = checks.uuid("compare", &request.compare);
        checks.finish()?;
        let base = self.side(run_key(namespace.clone(), base)).await?;
        let compare = self.side(run_key(namespace, compare)).await?;
        let mut bounds = Bounds {
            budget: Budget::new(MOST_DIFFERENCES, MOST_DIFFERENCE_BYTES),
            bytes: READ_BYTES,
        };
        let whole = [
            Pair::of(base.input.as_ref(), compare.input.as_ref()),
            Pair::of(base.output.as_ref(), compare.output.as_ref()),
        ];
        let mut whole = self.payloads(&base, &compare, &whole, &mut bounds).await?;
        let (output, input) = (whole.pop().flatten(), whole.pop().flatten());
        let error = errors(
            run_error(base.run.error.as_ref()).as_ref(),
            run_error(compare.run.error.as_ref()).as_ref(),
            &mut bounds.budget,
        );
        let steps = self.steps(&base, &compare, &mut bounds).await?;
        let truncated = bounds.budget.is_truncated();
        let is_same = input.is_none() && output.is_none() && error.is_empty() && steps.is_empty();
        Ok(DiffRunsResponse {
            equal: is_same && base.run.state == compare.run.state && !truncated,
            base: Some(base.shown()),
            compare: Some(compare.shown()),
            input,
            output,
            error,
            steps,
            timings: timings(&base.steps, &compare.steps),
            truncated,
        })
    }

    async fn side(&self, key: RunKey) -> Result<Side> {
        let view = self.engine.view(&key).await?;
        let (message, steps) = run::full(&view);
        Ok(Side {
            key,
            run: message,
            steps,
            input: view.run.input().map(|info| reference(1, info)),
            output: view
                .run
                .output()
                .map(|info| reference(view.run.last_sequence(), info)),
        })
    }

    /// The steps that differ, in the order of the first run, then those that only the second has.
    async fn steps(
        &self,
        base: &Side,
        compare: &Side,
        bounds: &mut Bounds,
    ) -> Result<Vec<StepDiff>> {
        let mut found = Vec::new();
        let pairs = pairs(&base.steps, &compare.steps);
        for some in pairs.chunks(AT_ONCE) {
            let outputs: Vec<Pair<'_>> = some.iter().map(outputs).collect();
            let outputs = self.payloads(base, compare, &outputs, bounds).await?;
            for ((base, compare), output) in some.iter().zip(outputs) {
                let budget = &mut bounds.budget;
                let error = errors(
                    step_error(*base).as_ref(),
                    step_error(*compare).as_ref(),
                    budget,
                );
                let same_path = base.map(taken) == compare.map(taken);
                if same_path && error.is_empty() && output.is_none() {
                    continue;
                }
                let step = step_diff(*base, *compare, output, error);
                let is_shown = step.output.is_some() || !step.error.is_empty();
                if budget.take(FRAME + texts(&step)) || is_shown {
                    found.push(step);
                }
            }
            if bounds.budget.is_truncated() {
                break;
            }
        }
        Ok(found)
    }

    /// What differs between the payloads of each pair; `None` where nothing does.
    async fn payloads(
        &self,
        base: &Side,
        compare: &Side,
        pairs: &[Pair<'_>],
        bounds: &mut Bounds,
    ) -> Result<Vec<Option<PayloadDiff>>> {
        let mut is_read = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let bytes = pair.bytes_to_read();
            is_read.push(bytes.is_some_and(|bytes| bytes <= bounds.bytes));
            bounds.bytes -= bytes.filter(|_| is_read.last() == Some(&true)).unwrap_or(0);
        }
        let chosen = |side: fn(&Pair<'_>) -> Option<String>| -> Vec<String> {
            let read = pairs.iter().zip(&is_read).filter(|(_, is_read)| **is_read);
            read.filter_map(|(pair, _)| side(pair)).collect()
        };
        let before = chosen(|pair| pair.base.map(|one| one.r#ref.clone()));
        let after = chosen(|pair| pair.compare.map(|one| one.r#ref.clone()));
        let mut before = self.texts(&base.key, before).await?;
        let mut after = self.texts(&compare.key, after).await?;
        let mut found = Vec::with_capacity(pairs.len());
        for (pair, is_read) in pairs.iter().zip(is_read) {
            // Its place is taken first: what is found then is shown, as far as it goes.
            if pair.is_same() || !bounds.budget.take(FRAME) {
                found.push(None);
                continue;
            }
            let mut shown = PayloadDiff {
                kind: wire::kind(pair.base, pair.compare).into(),
                base: pair.base.cloned(),
                compare: pair.compare.cloned(),
                by_hash: !is_read && pair.base.is_some() && pair.compare.is_some(),
                differences: Vec::new(),
            };
            if let (true, Some(base), Some(compare)) = (is_read, pair.base, pair.compare) {
                let texts = (before.remove(&base.r#ref), after.remove(&compare.r#ref));
                let differences = self.compared(texts, &mut bounds.budget).await?;
                if differences.is_empty() && !bounds.budget.is_truncated() {
                    // Written otherwise, and equal.
                    found.push(None);
                    continue;
                }
                shown.differences = wire::values(&differences);
            }
            found.push(Some(shown));
        }
        Ok(found)
    }

    /// The texts of these payloads of a run.
    async fn texts(
        &self,
        key: &RunKey,
        references: Vec<String>,
    ) -> Result<HashMap<String, String>> {
        let sequences: Vec<i64> = references
            .iter()
            .filter_map(|one| sequence_of(one))
            .collect();
        if sequences.is_empty() {
            return Ok(HashMap::new());
        }
        let mut conn = self.engine.store().conn().await?;
        let beside: HashMap<i64, String> = events::payloads(&mut conn, key, &sequences)
            .await?
            .into_iter()
            .collect();
        drop(conn);
        let mut texts = HashMap::with_capacity(references.len());
        for (one, sequence) in references.into_iter().zip(sequences) {
            let text = if let Some(text) = beside.get(&sequence) {
                text.clone()
            } else {
                let (_, info) = self.find_payload(key, &one).await?;
                self.engine.payload(key, sequence, &info).await?.to_string()
            };
            texts.insert(one, text);
        }
        Ok(texts)
    }

    /// Where two payloads differ, found where nobody has to wait for it.
    async fn compared(
        &self,
        (base, compare): (Option<String>, Option<String>),
        budget: &mut Budget,
    ) -> Result<Vec<Difference>> {
        let mut taken = budget.clone();
        let work = move || {
            let value = |text: Option<String>| {
                text.map(|text| serde_json::from_str::<Value>(&text))
                    .transpose()
            };
            let (base, compare) = (value(base)?, value(compare)?);
            let found = diff(base.as_ref(), compare.as_ref(), &mut taken);
            Ok::<_, serde_json::Error>((found, taken))
        };
        let (found, left) = self.cpu.run(work).await?.map_err(|error| {
            store::Error::Corrupt(format!("a payload that is no JSON: {error}"))
        })?;
        *budget = left;
        Ok(found)
    }
}

impl Side {
    fn shown(&self) -> DiffedRun {
        let run = &self.run;
        DiffedRun {
            run_id: run.run_id.clone(),
            flow_id: run.flow_id.clone(),
            revision: run.revision,
            state: run.state,
            last_sequence: run.last_sequence,
            duration: run.start_time.zip(run.end_time).map(|(start, end)| {
                let mut length = prost_types::Duration {
                    seconds: end.seconds - start.seconds,
                    nanos: end.nanos - start.nanos,
                };
                length.normalize();
                length
            }),
        }
    }
}

impl<'a> Pair<'a> {
    fn of(base: Option<&'a PayloadRef>, compare: Option<&'a PayloadRef>) -> Self {
        Self { base, compare }
    }

    /// Whether both have the same text, or neither has any.
    fn is_same(&self) -> bool {
        let told_by = |one: &'a PayloadRef| (one.size_bytes, one.sha256.as_str());
        self.base.map(told_by) == self.compare.map(told_by)
    }

    /// How many bytes it takes to look into both; `None` where there is no need or one is too large.
    fn bytes_to_read(&self) -> Option<i64> {
        let (base, compare) = self.base.zip(self.compare)?;
        let is_wanted = !self.is_same() && base.size_bytes.max(compare.size_bytes) <= LOOKED_INTO;
        is_wanted.then_some(base.size_bytes + compare.size_bytes)
    }
}

/// The steps of both runs by their paths.
fn pairs<'a>(base: &'a [Step], compare: &'a [Step]) -> Vec<(Option<&'a Step>, Option<&'a Step>)> {
    let mut others: HashMap<&str, &Step> = compare
        .iter()
        .map(|step| (step.step_path.as_str(), step))
        .collect();
    let mut pairs: Vec<_> = base
        .iter()
        .map(|step| (Some(step), others.remove(step.step_path.as_str())))
        .collect();
    let new = compare
        .iter()
        .filter(|step| others.contains_key(step.step_path.as_str()));
    pairs.extend(new.map(|step| (None, Some(step))));
    pairs
}

fn outputs<'a>(pair: &(Option<&'a Step>, Option<&'a Step>)) -> Pair<'a> {
    match *pair {
        (Some(base), Some(compare)) => Pair::of(base.output.as_ref(), compare.output.as_ref()),
        // That of a step that only one run has is no difference of its own.
        _ => Pair::default(),
    }
}

/// What became of a step, but for its output, its error and its times.
fn taken(step: &Step) -> (&str, i32, &[String], i32) {
    (&step.applet, step.state, &step.ports, step.attempt)
}

fn step_diff(
    base: Option<&Step>,
    compare: Option<&Step>,
    output: Option<PayloadDiff>,
    error: Vec<ValueDiff>,
) -> StepDiff {
    let path = base.or(compare).map(|step| step.step_path.clone());
    let of = |step: Option<&Step>| step.cloned().unwrap_or_default();
    let kind = wire::kind(base, compare).into();
    let (base, compare) = (of(base), of(compare));
    StepDiff {
        step_path: path.unwrap_or_default(),
        kind,
        base_applet: base.applet,
        compare_applet: compare.applet,
        base_state: base.state,
        compare_state: compare.state,
        base_ports: base.ports,
        compare_ports: compare.ports,
        base_attempts: base.attempt,
        compare_attempts: compare.attempt,
        output,
        error,
    }
}

fn texts(step: &StepDiff) -> usize {
    let ports: usize = [&step.base_ports, &step.compare_ports]
        .into_iter()
        .flatten()
        .map(String::len)
        .sum();
    step.step_path.len() + step.base_applet.len() + step.compare_applet.len() + ports
}

fn run_error(error: Option<&RunError>) -> Option<Value> {
    let error = error?;
    Some(json!({ "code": error.code, "message": error.message, "step_path": error.step_path }))
}

fn step_error(step: Option<&Step>) -> Option<Value> {
    let error = step?.error.as_ref()?;
    Some(json!({ "code": error.code, "message": error.message }))
}

fn errors(base: Option<&Value>, compare: Option<&Value>, budget: &mut Budget) -> Vec<ValueDiff> {
    wire::values(&diff(base, compare, budget))
}

/// How long the steps took, those with the largest change first.
fn timings(base: &[Step], compare: &[Step]) -> Vec<StepTiming> {
    let mut timed: Vec<(Duration, StepTiming)> = pairs(base, compare)
        .into_iter()
        .filter_map(|(base, compare)| {
            let path = base.or(compare)?.step_path.clone();
            let timing = StepTiming {
                step_path: path,
                base: base.and_then(|step| step.duration),
                compare: compare.and_then(|step| step.duration),
            };
            let length = |one: Option<prost_types::Duration>| {
                one.and_then(|one| Duration::try_from(one).ok())
                    .unwrap_or_default()
            };
            let change = length(timing.base).abs_diff(length(timing.compare));
            let is_known = timing.base.is_some() || timing.compare.is_some();
            is_known.then_some((change, timing))
        })
        .collect();
    timed.sort_by_key(|(change, _)| std::cmp::Reverse(*change));
    let timings = timed.into_iter().map(|(_, timing)| timing);
    timings.take(TIMINGS).collect()
}
