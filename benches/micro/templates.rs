//! Templates: a text parsed once, rendered for each attempt.

use std::collections::BTreeMap;
use std::sync::Arc;

use divan::{Bencher, black_box};
use serde_json::{Value, json};
use synapps::ids::{NodeId, RunId};
use synapps::template::tree::{Reading, Tree};
use synapps::template::{MAX_RENDERED_BYTES, Scope, Secrets, Template};
use uuid::Uuid;

use crate::story::document;

const TEXTS: [(&str, &str); 5] = [
    ("plain", "Nothing to fill in here."),
    ("path", "{{ content.customer.name }}"),
    (
        "text",
        "Order {{ content.order }} of {{ content.customer.name }} to {{ content.customer.city }}",
    ),
    ("object", "{{ results.price.output }}"),
    (
        "expression",
        "{{ content.lines | map(attribute='price') | sum * 1.2 }}",
    ),
];

fn names() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(name, _)| *name)
}

fn text(name: &str) -> &'static str {
    let found = TEXTS.iter().find(|(known, _)| *known == name);
    found.expect("the names are those of the texts").1
}

fn scope() -> Scope {
    let order = document().value;
    Scope {
        input: Arc::clone(&order),
        content: Arc::clone(&order),
        results: Arc::new(BTreeMap::from([(NodeId::from("price"), order)])),
        run_id: RunId::new(Uuid::nil()),
        node_id: NodeId::from("t1"),
        item: None,
        secrets: Secrets::default(),
        extra: BTreeMap::new(),
    }
}

/// The config of a node that calls HTTP.
fn config() -> Value {
    json!({
        "method": "POST",
        "url": "https://shop.example/orders/{{ content.order }}/lines",
        "headers": {"X-Run": "{{ run.id }}", "Accept": "application/json"},
        "body": {
            "customer": "{{ content.customer }}",
            "lines": "{{ content.lines }}",
            "note": "for {{ content.customer.name }}, {{ content.customer.city }}",
            "express": "{{ content.express }}",
        },
        "fail_on_status": true,
    })
}

fn compiled() -> Tree {
    let (tree, problems) = Tree::compile(&config(), reading());
    assert!(problems.is_empty(), "{problems:?}");
    tree
}

fn reading() -> Reading<'static> {
    static NO_SCHEMA: Value = Value::Null;
    Reading {
        raw: &[],
        schema: &NO_SCHEMA,
    }
}

/// When a flow is made ready, which is once as long as it stays in memory.
#[divan::bench(args = names())]
fn parse(name: &str) -> Result<Template, synapps::template::Error> {
    Template::parse(black_box(text(name)))
}

#[divan::bench(args = names())]
fn render(bencher: Bencher<'_, '_>, name: &str) {
    let template = Template::parse(text(name)).expect("it is a template");
    let scope = scope();
    bencher.bench_local(|| {
        let mut budget = MAX_RENDERED_BYTES;
        black_box(&template).render(&scope, &mut budget)
    });
}

#[divan::bench]
fn compile_config(bencher: Bencher<'_, '_>) {
    let config = config();
    bencher.bench_local(|| Tree::compile(black_box(&config), reading()));
}

#[divan::bench]
fn render_config(bencher: Bencher<'_, '_>) {
    let tree = compiled();
    let scope = scope();
    bencher.bench_local(|| black_box(&tree).render_fully(&scope));
}
