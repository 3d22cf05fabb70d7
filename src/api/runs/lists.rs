//! Lists of runs, of a run's events and of its steps: pages, cut by count and by bytes.

use prost::Message;
use serde_json::Value;

use crate::api::Api;
use crate::api::checks::Checks;
use crate::api::convert::event::{Setting, Show, event};
use crate::api::convert::{MOST_BYTES, run, time};
use crate::api::status::Result;
use crate::api::{page, runs};
use crate::flow::graph::NodeIndex;
use crate::flow::validate;
use crate::ids::{FlowId, Namespace, RunId, StepPath};
use crate::proto::{
    ListRunEventsRequest, ListRunEventsResponse, ListRunsRequest, ListRunsResponse,
    ListStepsRequest, ListStepsResponse, RunEvent,
};
use crate::run::Run;
use crate::run::scope::{ScopeId, StepKey};
use crate::run::state::{RunState, StepState};
use crate::store::events::{self, Payloads};
use crate::store::runs::Filter;
use crate::store::{flows, runs as rows};

impl Api {
    pub(super) async fn list_runs_page(
        &self,
        namespace: Namespace,
        mut request: ListRunsRequest,
    ) -> Result<ListRunsResponse> {
        let mut checks = Checks::default();
        let size = checks.take(page::size(request.page_size, "page_size"));
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let cursor = checks.take(page::cursor("ListRuns", &request, &token));
        let mut filter = filter(&request, &mut checks);
        filter.older_than = checks
            .take(cursor.map(|cursor| page::parse(&cursor)).transpose())
            .map(RunId::new);
        checks.finish()?;
        let mut conn = self.engine.store().conn().await?;
        if !request.flow_id.is_empty() {
            let flow_id = FlowId::from(request.flow_id.as_str());
            let Some((flow_key, _)) = flows::find_latest(&mut conn, &namespace, &flow_id).await?
            else {
                return Ok(ListRunsResponse::default());
            };
            filter.flow_key = Some(flow_key);
        }
        let found = rows::list(&mut conn, &namespace, &filter, rows_wanted(size)).await?;
        let (runs, more) = cut(found.iter().map(run::basic), size);
        let cursor = runs.last().filter(|_| more).map(|last| last.run_id.clone());
        let next_page_token = cursor
            .map(|cursor| page::token("ListRuns", &request, &cursor))
            .unwrap_or_default();
        Ok(ListRunsResponse {
            runs,
            next_page_token,
        })
    }

    pub(super) async fn list_run_events_page(
        &self,
        namespace: Namespace,
        mut request: ListRunEventsRequest,
    ) -> Result<ListRunEventsResponse> {
        let mut checks = Checks::default();
        let size = checks.take(page::size(request.page_size, "page_size"));
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let cursor = checks.take(page::cursor("ListRunEvents", &request, &token));
        let reached: Option<i64> =
            checks.take(cursor.map(|cursor| page::parse(&cursor)).transpose());
        let run_id = checks.run_id(&request.run_id);
        let after = checks.after_sequence(request.after_sequence);
        checks.finish()?;
        let key = runs::run_key(namespace, run_id);
        let row = self.engine.row(&key).await?;
        runs::check_within(&row, after)?;
        let after = reached.unwrap_or(after);
        let graph = self
            .engine
            .graph(&key.namespace, row.flow_key, row.revision)
            .await?;
        let setting = Setting {
            revision: row.revision,
            graph: &graph,
        };
        let show = if request.include_payloads {
            Show::Payloads
        } else {
            Show::References
        };
        let mut events: Vec<RunEvent> = Vec::new();
        let (mut bytes, mut last, mut more) = (0, after, true);
        let payloads = if request.include_payloads {
            Payloads::Read
        } else {
            Payloads::Left
        };
        while more && events.len() <= size && bytes <= MOST_BYTES {
            let found = {
                let mut conn = self.engine.store().conn().await?;
                events::page(&mut conn, &key, last, ROWS, payloads).await?
            };
            more = !found.is_empty();
            for recorded in &found {
                let completed = self.with_output(&key, recorded).await?;
                let event = event(completed.as_ref().unwrap_or(recorded), setting, show);
                last = recorded.sequence;
                bytes += event.encoded_len();
                events.push(event);
            }
        }
        let (events, more) = cut(events.into_iter(), size);
        let cursor = events
            .last()
            .filter(|_| more)
            .map(|last| last.sequence.to_string());
        let next_page_token = cursor
            .map(|cursor| page::token("ListRunEvents", &request, &cursor))
            .unwrap_or_default();
        Ok(ListRunEventsResponse {
            events,
            next_page_token,
        })
    }

    pub(super) async fn list_steps_page(
        &self,
        namespace: Namespace,
        mut request: ListStepsRequest,
    ) -> Result<ListStepsResponse> {
        let mut checks = Checks::default();
        let size = checks.take(page::size(request.page_size, "page_size"));
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let cursor = checks.take(page::cursor("ListSteps", &request, &token));
        let from: u64 = checks
            .take(cursor.map(|cursor| page::parse(&cursor)).transpose())
            .unwrap_or(0);
        let run_id = checks.run_id(&request.run_id);
        let states = step_states(&request.states, &mut checks);
        checks.finish()?;
        let key = runs::run_key(namespace, run_id);
        let run = if request.parent_path.is_empty() {
            self.engine.view(&key).await?.run
        } else {
            self.engine.view_with_items(&key).await?.run
        };
        let inside = steps_inside(&run, &request.parent_path);
        let wanted =
            inside.filter(|(at, key)| *at >= from && run::is_wanted(&run, run.step(*key), &states));
        let found: Vec<(u64, StepKey)> = wanted.take(size + 1).collect();
        let (steps, more) = cut(found.iter().map(|(_, key)| run::step(&run, *key)), size);
        let next_page_token = match found.get(steps.len()).filter(|_| more) {
            Some((next, _)) => page::token("ListSteps", &request, &next.to_string()),
            None => String::new(),
        };
        Ok(ListStepsResponse {
            steps,
            next_page_token,
        })
    }
}

/// The steps directly inside a path, each with its place, which does not change while the run goes on: those of the
/// run itself, of all items of a loop (`loop`), or of one of them (`loop[3]`). None if there is no such path.
fn steps_inside<'a>(run: &'a Run, path: &str) -> Box<dyn Iterator<Item = (u64, StepKey)> + 'a> {
    let of_scope = |scope: ScopeId, item: u32| {
        let steps = run.scope(scope).graph().len() as u64;
        (0..)
            .map(NodeIndex)
            .take(run.scope(scope).graph().len())
            .map(move |node| {
                (
                    u64::from(item) * steps + u64::from(node.0),
                    StepKey { scope, node },
                )
            })
    };
    if path.is_empty() {
        return Box::new(of_scope(ScopeId::TOP, 0));
    }
    let (of, item) = match path
        .strip_suffix(']')
        .and_then(|path| path.rsplit_once('['))
    {
        Some((of, item)) => match item.parse::<u32>() {
            Ok(item) => (of, Some(item)),
            Err(_) => return Box::new(std::iter::empty()),
        },
        None => (path, None),
    };
    let Some(of) = run.find(&StepPath::new(of)) else {
        return Box::new(std::iter::empty());
    };
    let mut scopes: Vec<(u32, ScopeId)> = run
        .items_of(of)
        .map(|(scope, _, at)| (at, scope))
        .filter(|(at, _)| item.is_none_or(|item| item == *at))
        .collect();
    scopes.sort_unstable();
    Box::new(
        scopes
            .into_iter()
            .flat_map(move |(item, scope)| of_scope(scope, item)),
    )
}

/// How many events are read at once: with payloads they may be large.
const ROWS: i64 = 50;

/// One row more than is shown tells whether there are more.
pub(super) fn rows_wanted(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)
}

/// The messages of a page: at most `size`, below the bound of an answer, at least one; and whether there are more.
pub(super) fn cut<M: Message>(messages: impl Iterator<Item = M>, size: usize) -> (Vec<M>, bool) {
    const FRAME: usize = 16;
    let mut page = Vec::new();
    let mut bytes = 0;
    for message in messages {
        bytes += message.encoded_len() + FRAME;
        if page.len() == size || (bytes > MOST_BYTES && !page.is_empty()) {
            return (page, true);
        }
        page.push(message);
    }
    (page, false)
}

/// Which runs a request wants, but for its flow and its page.
pub(in crate::api) fn filter(request: &ListRunsRequest, checks: &mut Checks) -> Filter {
    if !request.flow_id.is_empty() && !validate::is_flow_id(&request.flow_id) {
        checks.add(
            "flow_id",
            "INVALID_ID",
            "is not 1 to 200 characters of A-Z a-z 0-9 _ . -",
        );
    }
    checks.extend(validate::run_labels(&request.labels));
    let mut states: Vec<RunState> = Vec::new();
    for (at, state) in request.states.iter().enumerate() {
        match run::run_state_from(*state) {
            Some(state) => states.push(state),
            None => unknown_state(at, *state, "RunState", checks),
        }
    }
    let mut time = |time: &Option<prost_types::Timestamp>, field: &str| {
        checks.take(
            time.as_ref()
                .map(|time| time::from_timestamp(time, field))
                .transpose(),
        )
    };
    let created_after = time(&request.created_after, "created_after");
    let created_before = time(&request.created_before, "created_before");
    let labels = (!request.labels.is_empty()).then(|| {
        Value::Object(
            request
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
                .collect(),
        )
    });
    Filter {
        flow_key: None,
        states,
        labels,
        created_after,
        created_before,
        older_than: None,
    }
}

fn step_states(states: &[i32], checks: &mut Checks) -> Vec<StepState> {
    let mut known = Vec::new();
    for (at, state) in states.iter().enumerate() {
        match run::step_state_from(*state) {
            Some(state) => known.push(state),
            None => unknown_state(at, *state, "StepState", checks),
        }
    }
    known
}

fn unknown_state(at: usize, state: i32, kind: &str, checks: &mut Checks) {
    let description = format!("{state} is no {kind} that a list can be asked for");
    checks.add(format!("states[{at}]"), "UNKNOWN_VALUE", description);
}
