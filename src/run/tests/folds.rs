//! Recovery: a fold of the journal is the run, at every point, and old journals fold for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::properties::{all_steps, any_world};
use super::shapes::{graph_of, node};
use super::simulation::{Applets, Simulation};
use crate::flow::Effect;
use crate::flow::graph::{Graph, NodeShape};
use crate::ids::NodeId;
use crate::run::event::{Event, Recorded};
use crate::run::scope::StepKey;
use crate::run::{Command, Run};

proptest! {
    #[test]
    fn a_fold_of_the_journal_equals_the_live_run_at_every_prefix(world in any_world()) {
        let mut ended = Simulation::new(world, Applets::Obedient);
        ended.story.histories = Some(vec![ended.story.run.history().clone()]);
        ended.drive(|_, _| (), |_| ());
        let histories = ended.story.histories.take().unwrap();

        let mut folded = Run::new(Arc::clone(&ended.shape.graph));
        prop_assert_eq!(ended.story.journal.len(), histories.len());
        for ((recorded, live), sequence) in ended.story.journal.iter().zip(&histories).zip(1..) {
            let event = Event::decode(recorded.event.kind(), &recorded.event.encode()).unwrap();
            prop_assert_eq!(recorded.sequence, sequence);
            prop_assert_eq!(&event, &recorded.event);
            folded.apply(&Recorded { event, ..recorded.clone() }).unwrap();
            prop_assert_eq!(folded.history(), live, "after event {} of {:?}", sequence, ended);
        }
    }

    #[test]
    fn an_event_out_of_its_place_is_refused(world in any_world(), place in any::<prop::sample::Index>()) {
        let ended = Simulation::ended(world, Applets::Obedient);
        let mut torn = ended.story.journal.clone();

        let lost = place.index(torn.len() - 1);
        torn.remove(lost);

        let mismatch = Run::fold(Arc::clone(&ended.shape.graph), &torn).unwrap_err();
        prop_assert_eq!(mismatch.sequence, i64::try_from(lost).unwrap() + 2);
    }
}

/// The first line of a file of the corpus: a graph, with the bodies of its loops and the fallbacks of its nodes.
#[derive(Deserialize)]
struct Header {
    nodes: Vec<(String, Effect)>,
    edges: Vec<String>,
    #[serde(default)]
    bodies: BTreeMap<String, Header>,
    #[serde(default)]
    fallbacks: BTreeMap<String, String>,
}

impl Header {
    fn graph(&self, number: &mut u32) -> Arc<Graph> {
        let own = *number;
        *number += 1;
        let shapes = self.nodes.iter().map(|(id, effect)| NodeShape {
            body: self.bodies.get(id).map(|body| body.graph(number)),
            fallback: self.fallbacks.get(id).map(|id| NodeId::from(id.as_str())),
            ..node(id, *effect)
        });
        let shapes = shapes.collect();
        let edges: Vec<&str> = self.edges.iter().map(String::as_str).collect();
        graph_of(own, shapes, &edges)
    }
}

/// A line of the journal.
#[derive(Deserialize)]
struct Line<'a> {
    at: DateTime<Utc>,
    kind: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The last line: what the fold must say.
#[derive(Debug, PartialEq, Deserialize)]
struct Expected {
    state: String,
    progress: u32,
    steps: Value,
    next: Vec<String>,
}

#[test]
fn old_journals_fold_for_ever() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/run/tests/journals");
    let files: Vec<_> = fs::read_dir(corpus).unwrap().collect();
    assert!(files.len() >= 25, "the corpus has lost a journal");
    let mut missing: BTreeSet<&str> = Event::KINDS.iter().copied().collect();
    for file in files {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        let expected: Expected = serde_json::from_str(lines.pop().unwrap()).unwrap();
        let header: Header = serde_json::from_str(lines.remove(0)).unwrap();
        let journal: Vec<Recorded> = (1..).zip(&lines).map(|(at, line)| read(at, line)).collect();
        let run = Run::fold(header.graph(&mut 0), &journal);

        for recorded in &journal {
            missing.remove(recorded.event.kind());
        }
        let run = run.unwrap_or_else(|mismatch| panic!("{}: {mismatch}", path.display()));
        let last = journal.last().unwrap().at;
        assert_eq!(said_of(&run, last), expected, "{}", path.display());
    }
    assert_eq!(missing, BTreeSet::new(), "kinds that no journal has");
}

fn read(sequence: i64, line: &str) -> Recorded {
    let line: Line<'_> = serde_json::from_str(line).unwrap();
    Recorded {
        sequence,
        at: line.at,
        event: Event::decode(&line.kind, line.data.get()).unwrap(),
        payload: None,
    }
}

fn said_of(run: &Run, at: DateTime<Utc>) -> Expected {
    let steps = all_steps(run).map(|key| {
        let step = run.step(key);
        let attempts: Vec<&str> = step.attempts.iter().map(|it| it.state.as_str()).collect();
        let told = serde_json::json!([step.state.as_str(), attempts]);
        (run.path(key).to_string(), told)
    });
    Expected {
        state: run.state().to_string(),
        progress: run.progress(),
        steps: Value::Object(steps.collect()),
        next: run.next(at).iter().map(|it| wanted(run, it)).collect(),
    }
}

fn wanted(run: &Run, command: &Command) -> String {
    let path = |key: &StepKey| run.path(*key);
    match command {
        Command::Start => "start".to_owned(),
        Command::Resume(_) => "resume".to_owned(),
        Command::Skip(key) => format!("skip {}", path(key)),
        Command::Attempt { key, number, .. } => format!("attempt {number} of {}", path(key)),
        Command::Expire(key) => format!("expire {}", path(key)),
        Command::Collect(key) => format!("collect {}", path(key)),
        Command::FailLoop(key, error) => format!("fail {}, {}", path(key), error.failure.reason),
        Command::Condemn(key) => format!("condemn {}", path(key)),
        Command::Park(key) => format!("park {}", path(key)),
        Command::Quarantine(key, deaths) => format!("quarantine {} after {deaths}", path(key)),
        Command::Stop(cause) => format!("stop, {cause}"),
        Command::StopStep(key) => format!("stop {}", path(key)),
        Command::Abandon(key, cause) => format!("abandon {}, {cause}", path(key)),
        Command::Succeed => "succeed".to_owned(),
        Command::Fail(error) => format!("fail, {}", error.failure.reason),
        Command::Cancel => "cancel".to_owned(),
        Command::Wait { until, .. } => format!("wait until {until:?}"),
    }
}
