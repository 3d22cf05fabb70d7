//! The journal's statement, built and encoded from what the runs of one flush bring; nothing is sent.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use synapps::ids::{ExecutorId, Namespace, RunId, RunKey};
use synapps::run::event::Recorded;
use synapps::run::state::RunState;
use synapps::store::flush::{Move, Owner, Projection, encode};
use synapps::usage::Usage;
use uuid::Uuid;

use crate::shapes::{chain, fan};
use crate::story::Story;

/// Runs in a flush, and events of each: a busy lane, an idle one, a lane of a big fan.
const BATCHES: [(usize, usize); 4] = [(1, 2), (64, 2), (512, 2), (1, 1_024)];

#[divan::bench(args = BATCHES)]
fn build(bencher: Bencher<'_, '_>, (runs, events): (usize, usize)) {
    let keys: Vec<RunKey> = (0..runs).map(|_| key()).collect();
    let events = written(events);
    let projection = projection();
    let moves: Vec<Move<'_>> = keys
        .iter()
        .map(|key| Move {
            key,
            epoch: 1,
            before: events[0].sequence - 1,
            events: &events,
            projection: &projection,
            folded: None,
            answered: &[],
        })
        .collect();
    let executor = ExecutorId::fresh();
    let encoded = encode(executor, &moves).expect("all of it can be encoded");
    bencher
        .counter(ItemsCount::new(runs * events.len()))
        .counter(BytesCount::new(encoded.size_bytes()))
        .bench_local(|| encode(executor, black_box(&moves)));
}

/// So many events as a run of W5 or FAN50 brings in the midst of it: successes with 300 bytes of output, each with the
/// start of what follows.
fn written(count: usize) -> Vec<Recorded> {
    let graph = if count == 2 { chain(3) } else { fan(997) };
    let journal = Story::ended(graph, 0).journal;
    let skipped = journal
        .iter()
        .position(|one| one.event.kind() == "step_succeeded");
    let from = skipped.expect("a step succeeds") + 2;
    journal[from..from + count].to_vec()
}

fn projection() -> Projection {
    Projection {
        state: RunState::Running,
        wait_reason: None,
        progress: 2,
        usage: Usage::default(),
        error: None,
        started_at: chrono::DateTime::from_timestamp(1_795_000_000, 0),
        ended_at: None,
        owner: Owner::Kept,
    }
}

fn key() -> RunKey {
    RunKey {
        namespace: Namespace::default_namespace(),
        run_id: RunId::new(Uuid::now_v7()),
    }
}
