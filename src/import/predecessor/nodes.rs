//! One node, converted rule by rule.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::branches::Targets;
use super::envelope::RawNode;
use super::kinds::Kind;
use super::outline::{Chain, Outline, Scope};
use super::templates::keep_text;
use super::{config, legacy, loops, policies, secrets};
use crate::flow::Node;
use crate::ids::NodeId;
use crate::import::notes::{Notes, Place, shown};
use crate::value;

/// What the conversion of a node needs beside the node.
pub(super) struct Converter<'a> {
    pub(super) outline: &'a Outline,
    /// Ids that are used up: those in loops must differ from those at the top.
    pub(super) taken: BTreeSet<String>,
    pub(super) notes: &'a mut Notes,
}

impl Converter<'_> {
    /// Converts a node. `top` is the node at the top of the flow that it is, or is in.
    pub(super) fn node(&mut self, raw: RawNode, top: &NodeId, chain: Option<&Chain>) -> Node {
        let RawNode {
            id,
            kind: given,
            position,
            mut data,
            place,
        } = raw;
        let kind = Kind::of(&given);
        let at = place.key("data");
        let display_name = self.label(&mut data, &at);
        let is_node = |id: &str| chain.is_none() && self.outline.find(id).is_some();
        let policies = policies::take(kind, &mut data, &is_node, &at, self.notes);
        secrets::take_out(kind, &id, &mut data, &at, self.notes);
        let kind = kind.map(|kind| legacy::settle(kind, &mut data, &at, self.notes));
        self.note_kind(&given, kind, &place);
        let scope = Scope {
            outline: self.outline,
            node: top,
            chain,
        };
        let data = match kind {
            Some(kind) => self.config(kind, &id, data, scope, &at),
            None => config::keep(data, scope, &at, self.notes),
        };
        Node {
            id,
            kind: kind.map_or_else(|| given.trim().to_owned(), |kind| kind.name().to_owned()),
            position,
            data: Value::Object(data),
            display_name,
            timeout: policies.timeout,
            effect: None,
            retry: policies.retry,
            on_error: policies.on_error,
        }
    }

    fn label(&mut self, data: &mut Map<String, Value>, place: &Place) -> String {
        let label = match data.remove("label") {
            None | Some(Value::Null) => return String::new(),
            Some(label) => value::to_text(&label).trim().to_owned(),
        };
        if !label.is_empty() {
            let description = "is the display_name of the node here";
            self.notes
                .add(&place.key("label"), "KEY_MOVED", description);
        }
        label
    }

    fn note_kind(&mut self, given: &str, kind: Option<Kind>, place: &Place) {
        match kind {
            // Another kind than the one that was given has been told of.
            Some(kind) if Kind::of(given) == Some(kind) && given != kind.name() => {
                let description = format!("{:?} is called {:?} here", shown(given), kind.name());
                self.notes
                    .add(&place.key("type"), "KIND_RENAMED", description);
            }
            Some(_) => {}
            None => {
                let description =
                    "the predecessor had no implementation of this type: left as it is";
                self.notes
                    .add(&place.key("type"), "UNKNOWN_KIND", description);
            }
        }
    }

    fn config(
        &mut self,
        kind: Kind,
        id: &NodeId,
        mut data: Map<String, Value>,
        scope: Scope<'_>,
        place: &Place,
    ) -> Map<String, Value> {
        let mut own = Map::new();
        match kind {
            Kind::Start => self.default_input(&mut data, &mut own, place),
            Kind::IfElse => {
                // At the top they have been taken already; in a loop nothing ever branched.
                Targets::take(&mut data, place, self.notes);
            }
            Kind::ForEach => loops::convert(self, id, scope, &mut data, &mut own, place),
            Kind::Code => self.note_code(&data, place),
            _ => {}
        }
        let mut config = config::convert(kind, data, scope, place, self.notes);
        if kind == Kind::HttpRequest && !config.contains_key("fail_on_status") {
            let description =
                "fail_on_status is false, because an answer of 400 or above was no failure there";
            self.notes.add(place, "DEFAULT_SET", description);
            config.insert("fail_on_status".to_owned(), json!(false));
        }
        for (key, value) in own {
            config.entry(key).or_insert(value);
        }
        config
    }

    /// What the editor put into `start` to try the flow with.
    fn default_input(
        &mut self,
        data: &mut Map<String, Value>,
        config: &mut Map<String, Value>,
        place: &Place,
    ) {
        for key in ["parsedInputData", "parsed_input_data"] {
            let Some(input) = data.remove(key) else {
                continue;
            };
            if input.as_object().is_none_or(Map::is_empty) {
                continue;
            }
            let place = place.key(key);
            let description = "is default_input here: it stands in for a run's input that is absent or empty, and no longer \
                               replaces one that is there";
            self.notes.add(&place, "KEY_MOVED", description);
            let input = keep_text(input, &place, self.notes);
            config.entry("default_input").or_insert(input);
        }
    }

    /// Source text is not changed, so that somebody has to look at what it reads.
    fn note_code(&mut self, data: &Map<String, Value>, place: &Place) {
        let code = data.get("code").and_then(Value::as_str).unwrap_or_default();
        let is_read = ["results", "last_", "metadata"]
            .iter()
            .any(|name| code.contains(name));
        if is_read {
            let description = "the code may read results, which hold the outputs themselves here, or a context that is not \
                               there: see to it that it reads context['results'][<node>]['output'] as the value itself";
            self.notes
                .add(&place.key("code"), "MEANING_DIFFERS", description);
        }
    }
}
