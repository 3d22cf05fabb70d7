//! A run as an answer shows it: as much as its view asks for, below the bound of a message.

use prost::Message;

use crate::api::Api;
use crate::api::convert::event::reference;
use crate::api::convert::{MOST_BYTES, run, value};
use crate::api::status::Result;
use crate::engine::{Started, View};
use crate::flow::Violation;
use crate::ids::RunKey;
use crate::proto::{self, PayloadRef, RunView};
use crate::run::event::PayloadInfo;
use crate::store::events;

/// How much of a run is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wanted {
    #[default]
    Basic,
    Full,
    WithPayloads,
}

impl Wanted {
    /// What `view` of a request asks for.
    pub(super) fn from_proto(view: i32) -> Result<Self, Violation> {
        match RunView::try_from(view) {
            Ok(RunView::Basic) => Ok(Self::Basic),
            Ok(RunView::Full) => Ok(Self::Full),
            Ok(RunView::Unspecified | RunView::WithPayloads) => Ok(Self::WithPayloads),
            Err(_) => Err(Violation {
                field: "view".to_owned(),
                reason: "UNKNOWN_VALUE",
                description: format!("{view} is no RunView"),
            }),
        }
    }
}

/// A payload of a run, and where it belongs in the answer.
struct Place {
    slot: Slot,
    sequence: i64,
    info: PayloadInfo,
}

impl Place {
    /// The most bytes that a reference in its place takes.
    fn reference_bytes(&self) -> usize {
        const REFERENCE: usize = 128;
        match &self.slot {
            Slot::Input | Slot::Output => REFERENCE,
            Slot::Result(node) => REFERENCE + node.len(),
        }
    }
}

enum Slot {
    Input,
    Output,
    Result(String),
}

impl Api {
    /// A run that was started, as it stood when it came into being; if it was started before, as it stands now.
    pub(super) async fn show_started(&self, started: &Started) -> Result<proto::Run> {
        match &started.row {
            Some(row) => Ok(run::basic(row)),
            None => self.show(&started.key, Wanted::Basic).await,
        }
    }

    /// The run, as much of it as is wanted.
    pub(super) async fn show(&self, key: &RunKey, wanted: Wanted) -> Result<proto::Run> {
        if wanted == Wanted::Basic {
            return Ok(run::basic(&self.engine.row(key).await?));
        }
        let view = self.engine.view(key).await?;
        let (mut message, steps) = run::full(&view);
        let places = if wanted == Wanted::WithPayloads {
            places(&view)
        } else {
            Vec::new()
        };
        // Room for a reference to each payload is kept in any case, then for the steps.
        let references: usize = places.iter().map(Place::reference_bytes).sum();
        let mut room = MOST_BYTES.saturating_sub(message.encoded_len() + references);
        message.steps = steps
            .into_iter()
            .take_while(|step| fits(step.encoded_len(), &mut room))
            .collect();
        self.add_payloads(key, places, room, &mut message).await?;
        Ok(message)
    }

    /// Adds input, output and results, the smaller ones first; what does not fit is referred to.
    async fn add_payloads(
        &self,
        key: &RunKey,
        mut places: Vec<Place>,
        mut room: usize,
        message: &mut proto::Run,
    ) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        places.sort_by_key(|place| place.info.size_bytes);
        let beside: Vec<i64> = places
            .iter()
            .scan(0, |sum, place| {
                *sum += place.info.size_bytes;
                (*sum <= MOST_BYTES as u64).then_some(place)
            })
            .filter(|place| place.info.chunks.is_none())
            .map(|place| place.sequence)
            .collect();
        let mut conn = self.engine.store().conn().await?;
        let mut texts: std::collections::HashMap<i64, String> =
            events::payloads(&mut conn, key, &beside)
                .await?
                .into_iter()
                .collect();
        drop(conn);
        for place in places {
            let text = match texts.remove(&place.sequence) {
                Some(text) => Some(text),
                None if place.info.chunks.is_some() && place.info.size_bytes < room as u64 => Some(
                    self.engine
                        .payload(key, place.sequence, &place.info)
                        .await?
                        .to_string(),
                ),
                None => None,
            };
            let shown = text
                .and_then(|text| serde_json::from_str(&text).ok())
                .map(|json| value::to_proto(&json))
                .filter(|shown| fits(shown.encoded_len(), &mut room));
            match shown {
                Some(shown) => put(message, place.slot, shown),
                None => refer(message, place.slot, reference(place.sequence, &place.info)),
            }
        }
        Ok(())
    }
}

/// Takes so many bytes, with what frames them, out of the room that is left, if they fit.
fn fits(bytes: usize, room: &mut usize) -> bool {
    const FRAME: usize = 256;
    let Some(left) = room.checked_sub(bytes + FRAME) else {
        return false;
    };
    *room = left;
    true
}

fn places(view: &View) -> Vec<Place> {
    let run = &view.run;
    let mut places = Vec::new();
    if let Some(info) = run.input() {
        places.push(Place {
            slot: Slot::Input,
            sequence: 1,
            info: info.clone(),
        });
    }
    if let Some(info) = run.output() {
        places.push(Place {
            slot: Slot::Output,
            sequence: run.last_sequence(),
            info: info.clone(),
        });
    }
    for (index, node) in run.graph().nodes() {
        let step = run.top_step(index);
        if let Some(output) = step.output.as_ref().filter(|_| step.gave_result()) {
            let slot = Slot::Result(node.id.to_string());
            places.push(Place {
                slot,
                sequence: output.sequence,
                info: output.info.clone(),
            });
        }
    }
    places
}

fn put(message: &mut proto::Run, slot: Slot, value: prost_types::Value) {
    match slot {
        Slot::Input => message.input = Some(value),
        Slot::Output => message.output = Some(value),
        Slot::Result(node) => {
            message.results.insert(node, value);
        }
    }
}

fn refer(message: &mut proto::Run, slot: Slot, reference: PayloadRef) {
    match slot {
        Slot::Input => message.input_ref = Some(reference),
        Slot::Output => message.output_ref = Some(reference),
        Slot::Result(node) => {
            message.result_refs.insert(node, reference);
        }
    }
}
