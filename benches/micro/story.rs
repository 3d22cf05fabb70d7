//! A run from its birth to its end as its driver leads it, where every attempt succeeds at once.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use synapps::engine::payloads::Encoded;
use synapps::flow::Effect;
use synapps::flow::graph::Graph;
use synapps::run::event::{
    Event, LoopStarted, Recorded, RunQueued, RunStarted, RunSucceeded, StepStarted, StepSucceeded,
};
use synapps::run::scope::StepKey;
use synapps::run::state::OnItemError;
use synapps::run::{Command, Run};
use synapps::usage::Usage;

/// The most steps of a run that execute at once, as where its flow sets nothing.
const PARALLEL: usize = 100;

/// An order, 300 bytes as JSON text: the input and the output of every step.
pub fn document() -> Encoded {
    let line = |item: &str, count: u32, price: f64| json!({"item": item, "count": count, "price": price, "currency": "EUR"});
    let mut order = json!({
        "order": "2026-11-000417",
        "customer": {"id": 48213, "name": "Ada Byron", "city": "London"},
        "lines": [line("kettle", 1, 34.9), line("teapot", 2, 18.25)],
        "express": true,
        "note": "",
    });
    let missing = 300_usize.saturating_sub(order.to_string().len());
    order["note"] = Value::from("x".repeat(missing));
    Encoded::new(Arc::new(order))
}

/// A run with its journal.
pub struct Story {
    pub run: Run,
    pub journal: Vec<Recorded>,
    document: Encoded,
    now: DateTime<Utc>,
    /// How many items its loops have.
    items: u32,
    in_flight: VecDeque<StepKey>,
}

impl Story {
    /// A run that is queued; its loops will have so many items.
    pub fn queued(graph: Arc<Graph>, items: u32) -> Self {
        let document = document();
        let mut story = Self {
            run: Run::new(graph),
            journal: Vec::new(),
            now: DateTime::from_timestamp_nanos(1_795_000_000_000_000_000),
            items,
            in_flight: VecDeque::new(),
            document,
        };
        story.record(
            RunQueued {
                input: story.document.info.clone(),
                parent: None,
                origin: None,
                blocked: false,
            },
            Beside::Document,
        );
        story
    }

    /// The same, once it has ended.
    pub fn ended(graph: Arc<Graph>, items: u32) -> Self {
        let mut story = Self::queued(graph, items);
        story.play();
        story
    }

    /// The same, once half of what will happen has happened.
    pub fn half_way(graph: &Arc<Graph>, items: u32) -> Self {
        let whole = Self::ended(Arc::clone(graph), items).journal.len();
        let mut story = Self::queued(Arc::clone(graph), items);
        while story.journal.len() < whole / 2 {
            story.turn();
        }
        story
    }

    /// To its end.
    pub fn play(&mut self) {
        while !self.run.state().is_final() {
            self.turn();
        }
    }

    /// What the run wants done at this time.
    pub fn next(&self) -> Vec<Command> {
        self.run.next(self.now)
    }

    /// Does what the run wants done, until it only waits for an attempt; then the oldest one ends.
    fn turn(&mut self) {
        loop {
            let mut changed = false;
            for command in self.next() {
                if self.run.still_wants(&command) {
                    changed |= self.execute(command);
                }
            }
            if !changed {
                break;
            }
        }
        if let Some(key) = self.in_flight.pop_front() {
            self.land(key);
        }
    }

    /// Does one thing; says whether the run has changed.
    fn execute(&mut self, command: Command) -> bool {
        match command {
            Command::Start => {
                let deadline = self.now + TimeDelta::days(1);
                self.record(RunStarted { deadline }, Beside::Nothing);
            }
            Command::Attempt { .. } if self.in_flight.len() == PARALLEL => return false,
            Command::Attempt { key, number, .. } => {
                self.run.launched(key);
                if self.run.graph_of(key.scope).node(key.node).effect != Effect::Pure {
                    let (path, attempt) = (self.run.path(key), number);
                    self.record(StepStarted { path, attempt }, Beside::Nothing);
                }
                self.in_flight.push_back(key);
            }
            Command::Collect(key) => self.succeed(key),
            Command::Succeed => {
                let output = self.document.info.clone();
                self.record(RunSucceeded { output }, Beside::Document);
            }
            other => panic!("nothing fails or waits here, but the run wants {other:?}"),
        }
        true
    }

    fn land(&mut self, key: StepKey) {
        self.run.landed(key);
        let graph = self.run.graph_of(key.scope);
        if graph.node(key.node).body.is_none() {
            return self.succeed(key);
        }
        self.record(
            LoopStarted {
                path: self.run.path(key),
                attempt: 1,
                started_at: self.now,
                items: self.document.info.clone(),
                count: self.items,
                concurrency: 100,
                on_item_error: OnItemError::Fail,
                truncated: false,
            },
            Beside::Document,
        );
    }

    fn succeed(&mut self, key: StepKey) {
        self.record(
            StepSucceeded {
                path: self.run.path(key),
                attempt: 1,
                started_at: self.now,
                port: String::new(),
                output: self.document.info.clone(),
                details: Map::new(),
                usage: Usage::default(),
                reused: None,
            },
            Beside::Document,
        );
    }

    fn record(&mut self, event: impl Into<Event>, beside: Beside) {
        let recorded = Recorded {
            sequence: self.run.last_sequence() + 1,
            at: self.now,
            event: event.into(),
            payload: match beside {
                Beside::Document => Some(Arc::clone(&self.document.text)),
                Beside::Nothing => None,
            },
        };
        if let Err(mismatch) = self.run.apply(&recorded) {
            panic!("the run refuses what it asked for: {mismatch}");
        }
        self.journal.push(recorded);
    }
}

/// What lies beside an event.
#[derive(Clone, Copy)]
enum Beside {
    Document,
    Nothing,
}
