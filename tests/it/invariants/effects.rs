//! What the server of the trials has counted: `AT_MOST_ONCE` requests came at most once, and all attempts of any other
//! step brought one key.

use std::collections::HashMap;

use super::Findings;
use crate::support::http_bin::Seen;
use crate::traffic::{Kind, Visit};

pub(super) fn check(seen: &[Seen], visits: &[&Visit], findings: &mut Findings) {
    let mut keys: HashMap<&str, Vec<&str>> = HashMap::new();
    for request in seen {
        let keys = keys.entry(&request.path).or_default();
        keys.push(&request.idempotency_key);
    }
    for (path, keys) in &keys {
        if keys.iter().any(|key| key.is_empty() || *key != keys[0]) {
            let told = format!("{path} was asked for with several keys: {keys:?}");
            findings.violations.push(told);
        }
    }
    for visit in visits.iter().filter(|visit| visit.kind == Kind::Mixed) {
        let path = format!("/pay/{}", visit.n);
        let paid = keys.get(path.as_str()).map_or(0, Vec::len);
        let doubted = visit.resolved.succeeded + visit.resolved.failed > 0;
        if paid > 1 || (paid == 0 && !doubted) {
            let told = format!("run {} ({}) has paid {paid} times", visit.run_id, visit.n);
            findings.violations.push(told);
        }
    }
}
