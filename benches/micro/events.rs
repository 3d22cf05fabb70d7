//! Events: into the journal and out of it, and to the wire.

use std::sync::Arc;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use prost::Message;
use serde_json::{Value, json};
use synapps::api::convert::event::{Setting, Show, event};
use synapps::api::convert::value;
use synapps::engine::payloads::Encoded;
use synapps::run::event::{Event, Recorded};

use crate::shapes::chain;
use crate::story::{Story, document};

/// The first event of this kind in a run of W5.
fn find(story: &Story, kind: &str) -> Recorded {
    let found = story.journal.iter().find(|one| one.event.kind() == kind);
    found.expect("a run of W5 has one of this kind").clone()
}

const KINDS: [&str; 4] = [
    "run_queued",
    "step_started",
    "step_succeeded",
    "run_succeeded",
];

/// An event's fields as JSON text, as the journal keeps them.
#[divan::bench(args = KINDS)]
fn encode(bencher: Bencher<'_, '_>, kind: &str) {
    let one = find(&Story::ended(chain(3), 0), kind);
    bencher.bench_local(|| black_box(&one).event.encode());
}

#[divan::bench(args = KINDS)]
fn decode(bencher: Bencher<'_, '_>, kind: &str) {
    let text = find(&Story::ended(chain(3), 0), kind).event.encode();
    bencher.bench_local(|| Event::decode(kind, black_box(&text)));
}

/// All events of a run of W5 as messages, encoded. Items are events.
#[divan::bench(args = ["payloads", "references"])]
fn to_wire(bencher: Bencher<'_, '_>, show: &str) {
    let story = Story::ended(chain(3), 0);
    let show = if show == "payloads" {
        Show::Payloads
    } else {
        Show::References
    };
    let setting = Setting {
        revision: 1,
        graph: story.run.graph(),
    };
    bencher
        .counter(ItemsCount::new(story.journal.len()))
        .bench_local(|| {
            let messages = black_box(&story.journal).iter();
            let sizes = messages.map(|one| event(one, setting, show).encode_to_vec().len());
            sizes.sum::<usize>()
        });
}

/// A step's output becomes text and hash.
#[divan::bench(args = DOCUMENTS)]
fn seal_payload(bencher: Bencher<'_, '_>, orders: usize) {
    let value = orders_of(orders);
    bencher
        .counter(BytesCount::new(value.to_string().len()))
        .bench_local(|| Encoded::new(Arc::clone(black_box(&value))));
}

/// The text of a payload that another process reads.
#[divan::bench(args = DOCUMENTS)]
fn parse_payload(bencher: Bencher<'_, '_>, orders: usize) {
    let text = orders_of(orders).to_string();
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| serde_json::from_str::<Value>(black_box(&text)));
}

#[divan::bench(args = DOCUMENTS)]
fn value_to_proto(bencher: Bencher<'_, '_>, orders: usize) {
    let value = orders_of(orders);
    bencher
        .counter(BytesCount::new(value.to_string().len()))
        .bench_local(|| value::to_proto(black_box(&value)));
}

#[divan::bench(args = DOCUMENTS)]
fn value_from_proto(bencher: Bencher<'_, '_>, orders: usize) {
    let value = orders_of(orders);
    bencher
        .counter(BytesCount::new(value.to_string().len()))
        .with_inputs(|| value::to_proto(&value))
        .bench_local_values(|sent| value::from_proto(sent, "input"));
}

/// Orders of 300 bytes each: one, and as many as lie beside an event.
const DOCUMENTS: [usize; 2] = [1, 100];

fn orders_of(count: usize) -> Arc<Value> {
    let order = document().value;
    match count {
        1 => order,
        _ => Arc::new(json!(vec![order; count])),
    }
}
