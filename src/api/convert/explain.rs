//! What keeps a run from moving, from the domain to the wire: the facts, a sentence, and what would free it.

mod executors;

use chrono::{DateTime, SecondsFormat, Utc};

use super::event::{decision, node_of, number};
use super::run::{basic, run_state};
use super::time::{duration, timestamp};
use crate::engine::explain::{Explanation, Reason, StepAt, Waits};
use crate::ids::StepPath;
use crate::proto::{
    self, ConcurrencyLimit, ExecutingStep, ExplainRunResponse, Obstacle, ObstacleKind, PausedRun,
    RunEnding, StepLimit, StepWait, UndecidedStep, UnreadLetters, obstacle::Detail,
};
use crate::run::event::Failure;
use crate::run::state::RunState;
use crate::store::admission::Line;

/// The most characters that are shown of what somebody else wrote.
const MOST_CHARS: usize = 1_000;

/// What keeps a run from moving.
#[must_use]
pub fn explanation(found: &Explanation) -> ExplainRunResponse {
    ExplainRunResponse {
        run: Some(basic(&found.row)),
        obstacles: found.reasons.iter().map(obstacle).collect(),
        more: counted(found.more),
        time: Some(timestamp(found.at)),
        answered_by_owner: found.is_here,
    }
}

/// An obstacle in the making.
struct Told {
    kind: ObstacleKind,
    message: String,
    freed_by: String,
    rpc: &'static str,
    detail: Option<Detail>,
}

impl Told {
    fn new(kind: ObstacleKind, message: impl Into<String>, freed_by: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            freed_by: freed_by.into(),
            rpc: "",
            detail: None,
        }
    }

    fn by(mut self, rpc: &'static str) -> Self {
        self.rpc = rpc;
        self
    }

    fn with(mut self, detail: Detail) -> Self {
        self.detail = Some(detail);
        self
    }
}

fn obstacle(reason: &Reason) -> Obstacle {
    let told = match reason {
        Reason::Final(state) => ended(*state),
        Reason::ConcurrencyLimit { key, line } => concurrency_limit(key, *line),
        Reason::Unclaimed {
            due_since,
            live,
            open_here,
            limit_here,
        } => executors::unclaimed(*due_since, *live, (*open_here, *limit_here)),
        Reason::NoLiveExecutor { due_since } => executors::none_lives(*due_since),
        Reason::LeaseExpired {
            executor,
            address,
            since,
        } => executors::lease_expired(*executor, address, *since),
        Reason::FormatTooNew { format, readable } => executors::too_new(*format, *readable),
        Reason::LeaseNotFirm => executors::lease_not_firm(),
        Reason::Elsewhere {
            executor,
            address,
            lease_until,
        } => executors::elsewhere(*executor, address, *lease_until),
        Reason::Paused { since, reason } => Told::new(
            ObstacleKind::Paused,
            format!("somebody paused the run at {}", at(*since)),
            "ResumeRun lets it go on; its time (FlowPolicy.run_timeout) does not stand still",
        )
        .by("ResumeRun")
        .with(Detail::Paused(PausedRun {
            pause_time: Some(timestamp(*since)),
            reason: reason.clone(),
        })),
        Reason::Waits {
            step,
            since,
            until,
            what,
        } => waits(step, *since, *until, what),
        Reason::OutcomeUnknown { step, error } => undecided(ObstacleKind::OutcomeUnknown, step, error.as_ref()),
        Reason::Quarantined { step, error } => undecided(ObstacleKind::Quarantined, step, error.as_ref()),
        Reason::PoolFull {
            steps,
            in_use,
            limit,
        } => Told::new(
            ObstacleKind::PoolFull,
            format!("{} steps could begin and wait for a slot of the pool, of which {in_use} of {limit} are taken", steps.len()),
            "attempts of any run of this process coming to their end, or a higher SYNAPPS_MAX_CONCURRENT_STEPS",
        )
        .with(limit_of(steps, *in_use, *limit)),
        Reason::Probing { steps } => probing(steps),
        Reason::ParallelLimit { steps, limit } => Told::new(
            ObstacleKind::ParallelLimit,
            format!("{} steps could begin, and {limit} are executed, which is the most for this run", steps.len()),
            "attempts of this run coming to their end, or a higher FlowPolicy.max_parallel_steps for later runs",
        )
        .with(limit_of(steps, *limit, *limit)),
        Reason::Ending {
            to,
            why,
            grace_ends_at,
        } => Told::new(
            ObstacleKind::Ending,
            format!("the run will be {to}; what is in flight is coming to its end: {}", cut(why)),
            grace_ends_at.map_or_else(
                || "the end of what is in flight".to_owned(),
                |end| format!("the end of what is in flight, at the latest at {}", at(end)),
            ),
        )
        .with(Detail::Ending(RunEnding {
            outcome: run_state(*to).into(),
            reason: cut(why),
            grace_end_time: grace_ends_at.map(timestamp),
        })),
        Reason::Letters { count, since } => Told::new(
            ObstacleKind::Letters,
            format!("the run was asked {count} things that it has not taken in"),
            "its owner, or whoever takes it over, reads them within about a second",
        )
        .with(Detail::Letters(UnreadLetters {
            count: *count,
            oldest_time: since.map(timestamp),
        })),
        Reason::Executing {
            step,
            since,
            timeout,
            here,
        } => executing(step, *since, *timeout, *here),
    };
    Obstacle {
        kind: told.kind.into(),
        message: told.message,
        freed_by: told.freed_by,
        rpc: told.rpc.to_owned(),
        detail: told.detail,
    }
}

fn probing(steps: &[StepPath]) -> Told {
    Told::new(
        ObstacleKind::Probe,
        format!(
            "attempts at {} steps have ended with their process, and the next ones are made one at a time",
            steps.len()
        ),
        "its turn: each process makes one such attempt at a time",
    )
    .with(limit_of(steps, 1, 1))
}

fn ended(state: RunState) -> Told {
    let message = format!("the run is {state}: it has ended");
    match state {
        RunState::Failed => {
            let freed_by = "RetryRun tries again what failed and keeps what succeeded";
            Told::new(ObstacleKind::Final, message, freed_by).by("RetryRun")
        }
        _ => Told::new(ObstacleKind::Final, message, "nothing: it is final"),
    }
}

fn concurrency_limit(key: &str, line: Line) -> Told {
    let of = if key.is_empty() {
        "of the flow".to_owned()
    } else {
        format!("with the concurrency key {}", cut(key))
    };
    Told::new(
        ObstacleKind::ConcurrencyLimit,
        format!(
            "{} runs {of} are open and the most are {}; {} are let in before this one",
            line.open, line.limit, line.ahead
        ),
        "runs of the key coming to their end (ListRuns lists them, CancelRun ends one)",
    )
    .by("CancelRun")
    .with(Detail::ConcurrencyLimit(ConcurrencyLimit {
        key: key.to_owned(),
        limit: number(line.limit),
        open: number(line.open),
        ahead: number(line.ahead),
    }))
}

fn waits(step: &StepAt, since: Option<DateTime<Utc>>, until: DateTime<Utc>, what: &Waits) -> Told {
    let path = &step.path;
    let mut wait = StepWait {
        step_path: path.to_string(),
        attempt: number(step.attempt),
        since_time: since.map(timestamp),
        ..StepWait::default()
    };
    let told = match what {
        Waits::Delay => {
            wait.until_time = Some(timestamp(until));
            let message = format!("step {path} waits until {}", at(until));
            Told::new(ObstacleKind::Delay, message, "its time")
        }
        Waits::Retry {
            max_attempts,
            error,
        } => {
            wait.until_time = Some(timestamp(until));
            wait.max_attempts = number(*max_attempts);
            wait.last_error = error.as_ref().map(|error| failed(error, step));
            let code = error
                .as_ref()
                .map_or("an error", |error| error.reason.as_str());
            let message = format!(
                "attempt {} of at most {max_attempts} of step {path} failed with {code}; the next one is at {}",
                step.attempt,
                at(until)
            );
            Told::new(
                ObstacleKind::Retry,
                message,
                "its time, and then an attempt that succeeds",
            )
        }
        Waits::Signal { name, expires } => {
            wait.until_time = expires.then(|| timestamp(until));
            wait.signal.clone_from(name);
            let message = format!("step {path} waits for the signal {}", cut(name));
            Told::new(
                ObstacleKind::Signal,
                message,
                freed("SignalRun with that name", *expires, until),
            )
            .by("SignalRun")
        }
        Waits::Approval { asked, asked_at } => {
            wait.until_time = asked.expires.then(|| timestamp(until));
            wait.approval_title.clone_from(&asked.title);
            wait.approval_etag = asked_at.to_string();
            if let Some(default) = asked.default_decision {
                wait.default_decision = decision(default).into();
            }
            let message = format!("step {path} waits for a decision: {}", cut(&asked.title));
            let freed_by = freed("ResolveApproval with this etag", asked.expires, until);
            Told::new(ObstacleKind::Approval, message, freed_by).by("ResolveApproval")
        }
        Waits::Child { run_id, state } => {
            wait.child_run_id = run_id.to_string();
            let shown = match state {
                Some(state) => {
                    wait.child_state = run_state(*state).into();
                    format!("which is {state}")
                }
                None => "which is about to be started".to_owned(),
            };
            let message =
                format!("step {path} waits for the end of the child run {run_id}, {shown}");
            Told::new(
                ObstacleKind::Child,
                message,
                "the end of the child: ExplainRun of it says what it waits for",
            )
            .by("ExplainRun")
        }
    };
    told.with(Detail::Wait(wait))
}

fn freed(by: &str, expires: bool, until: DateTime<Utc>) -> String {
    if expires {
        format!("{by}, or the end of the wait at {}", at(until))
    } else {
        by.to_owned()
    }
}

fn undecided(kind: ObstacleKind, step: &StepAt, error: Option<&Failure>) -> Told {
    let path = &step.path;
    let message = match kind {
        ObstacleKind::Quarantined => {
            format!("attempts at step {path} have brought the process down, and it is put aside")
        }
        _ => format!(
            "nobody knows whether attempt {} of step {path} took effect, and it may not be repeated by itself",
            step.attempt
        ),
    };
    Told::new(
        kind,
        message,
        "ResolveStep: it succeeded with an output, it is to be tried again, or it failed",
    )
    .by("ResolveStep")
    .with(Detail::Undecided(UndecidedStep {
        step_path: path.to_string(),
        attempt: number(step.attempt),
        error: error.map(|error| failed(error, step)),
    }))
}

fn executing(
    step: &StepAt,
    since: DateTime<Utc>,
    timeout: std::time::Duration,
    here: Option<bool>,
) -> Told {
    let path = &step.path;
    let (message, freed_by) = match here {
        Some(false) => (
            format!("step {path} is about to be executed"),
            "the journal and the lease letting it begin, within moments".to_owned(),
        ),
        _ => (
            format!("step {path} is executed since {}", at(since)),
            format!(
                "its end, after at most {} s an attempt",
                timeout.as_secs_f64()
            ),
        ),
    };
    Told::new(ObstacleKind::Executing, message, freed_by).with(Detail::Executing(ExecutingStep {
        step_path: path.to_string(),
        attempt: number(step.attempt),
        start_time: Some(timestamp(since)),
        timeout: Some(duration(timeout)),
        confirmed: here == Some(true),
    }))
}

fn limit_of(steps: &[StepPath], in_use: usize, limit: usize) -> Detail {
    Detail::StepLimit(StepLimit {
        step_paths: steps.iter().map(ToString::to_string).collect(),
        in_use: counted(in_use),
        limit: counted(limit),
    })
}

/// An error without its details, which may be large.
fn failed(error: &Failure, step: &StepAt) -> proto::RunError {
    proto::RunError {
        code: error.reason.clone(),
        message: cut(&error.message),
        node_id: node_of(step.path.as_str()).to_owned(),
        step_path: step.path.to_string(),
        attempt: number(step.attempt),
        details: None,
    }
}

fn counted(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn cut(text: &str) -> String {
    text.chars().take(MOST_CHARS).collect()
}

fn at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
