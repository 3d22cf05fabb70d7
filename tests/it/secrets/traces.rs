//! Where a value could be seen again, and the writings of values that are looked for there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use synapps::proto::watch_run_response::Message;
use synapps::proto::{ExplainRunRequest, ListRunsRequest, WatchRunRequest, WatchRunResponse};
use tokio_postgres::Client;

use crate::control::asked;
use crate::support::binary::Binary;
use crate::support::calls::{Calls, collected};
use crate::support::within;

/// Values of many shapes, by name.
pub fn values() -> Vec<(&'static str, String)> {
    vec![
        ("plain", "tok_9f8e7d6c5b4a3210".to_owned()),
        ("odd", "p@ss w/\"quotes\" \\ + %41 & é€😀 <b>'=".to_owned()),
        ("number", "734512908834".to_owned()),
        ("basic", "someone:their-own-pass".to_owned()),
        ("padded", "  padded-secret-77\t".to_owned()),
        (
            "lines",
            "-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END KEY-----\n".to_owned(),
        ),
        ("long", "0123456789abcdef-LongSecret_".repeat(150)),
        ("short", "q7#Z".to_owned()),
        ("json", r#"{"client_secret":"zx81-spectrum"}"#.to_owned()),
    ]
}

/// What would be left of values that were cut before they were looked for.
const PIECES: [(&str, &str); 7] = [
    ("plain", "tok_9f8e7d"),
    ("odd", "p@ss w/"),
    ("basic", "their-own"),
    ("padded", "padded-sec"),
    ("lines", "MIIEvQIBADAN"),
    ("long", "LongSecret"),
    ("json", "zx81"),
];

/// A key of the server's own, which no flow names.
pub const SERVER_KEY: &str = "sk-of-the-server-itself-1f2e";

/// The writings of the values in which nothing may hold them.
pub struct Hidden(Vec<(&'static str, String)>);

impl Hidden {
    pub fn new() -> Self {
        let mut all = Vec::new();
        for (name, value) in values() {
            let trimmed = value.trim();
            let quoted = serde_json::to_string(trimmed).unwrap();
            let mut forms = vec![
                trimmed.to_owned(),
                quoted[1..quoted.len() - 1].to_owned(),
                format!("{trimmed:?}").trim_matches('"').to_owned(),
                url::form_urlencoded::byte_serialize(trimmed.as_bytes()).collect(),
                url::form_urlencoded::byte_serialize(trimmed.as_bytes())
                    .collect::<String>()
                    .replace('+', "%20"),
                hex(trimmed.as_bytes()),
            ];
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                forms.push(engine.encode(trimmed));
                forms.push(engine.encode(&value));
            }
            all.extend(forms.into_iter().map(|form| (name, form)));
        }
        all.extend(PIECES.map(|(name, piece)| (name, piece.to_owned())));
        all.push(("server", SERVER_KEY.to_owned()));
        Self(all)
    }

    pub fn assert_not_in(&self, what: &str, text: &str) {
        for (name, form) in &self.0 {
            if let Some(at) = text.find(form.as_str()) {
                let from = text.floor_char_boundary(at.saturating_sub(200));
                let to = text.ceil_char_boundary((at + form.len() + 100).min(text.len()));
                panic!("{what} holds {name} as {form:?}: {}", &text[from..to]);
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Asserts that no value is in a table or the log.
pub async fn assert_kept_nowhere(server: &Binary, hidden: &Hidden) {
    let sql = server.database().sql().await;
    for (table, text) in dump(&sql).await {
        hidden.assert_not_in(&format!("the table {table}"), &text);
    }
    hidden.assert_not_in("the log", &server.log().text());
}

/// All rows of all tables, with what is binary in hexadecimal digits.
async fn dump(sql: &Client) -> Vec<(String, String)> {
    let tables =
        "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    let mut dumped = Vec::new();
    for row in sql.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let rows = format!("SELECT row_to_json(t)::text FROM {table} t");
        let rows = sql.query(&rows, &[]).await.unwrap();
        let text: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        dumped.push((table, text.join("\n")));
    }
    dumped
}

/// All that clients can see of a run, once it has ended.
pub async fn look(server: &Binary, run_id: &str) -> String {
    let watch = WatchRunRequest {
        run_id: run_id.to_owned(),
        include_snapshot: true,
        include_deltas: true,
        include_payloads: true,
        ..WatchRunRequest::default()
    };
    let watch = server.runs().watch_run(watch).await.unwrap().into_inner();
    let messages = within("the end of a run", collected(watch)).await;
    format!(
        "{messages:?}\n{}\n{}",
        texts(&messages),
        glance(server, run_id).await
    )
}

/// What clients can see of a run now.
pub async fn glance(server: &Calls, run_id: &str) -> String {
    let run = server.get(run_id).await;
    let mut steps = server.steps(run_id, "").await;
    let inside = steps.iter().map(|step| step.step_path.clone());
    for path in inside.collect::<Vec<_>>() {
        steps.extend(server.steps(run_id, &path).await);
    }
    let events = server.events_after(run_id, 0).await;
    let mut runs = server.runs();
    let explain = ExplainRunRequest {
        run_id: run_id.to_owned(),
    };
    let why = runs.explain_run(explain).await.unwrap().into_inner();
    let all = runs.list_runs(ListRunsRequest::default()).await.unwrap();
    let approvals = asked(server, run_id).await;
    format!(
        "{run:?}\n{steps:?}\n{events:?}\n{why:?}\n{:?}\n{approvals:?}",
        all.into_inner()
    )
}

/// The texts that deltas make together.
fn texts(messages: &[WatchRunResponse]) -> String {
    let mut texts: BTreeMap<_, String> = BTreeMap::new();
    for message in messages {
        if let Some(Message::Delta(delta)) = &message.message {
            let key = (delta.step_path.clone(), delta.attempt, delta.kind);
            let text = texts.entry(key).or_default();
            text.truncate(usize::try_from(delta.offset).unwrap());
            text.push_str(&delta.text);
        }
    }
    format!("{texts:?}")
}
