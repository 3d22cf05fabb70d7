//! Flows as JSON documents: the JSON form of the proto message `Flow`, which grpcurl takes too.

use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, SerializeOptions};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::proto::{FILE_DESCRIPTOR_SET, Flow};

/// The full name of the message.
const FLOW: &str = "synapps.v1.Flow";

/// Why a document is no flow.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The JSON is not that of a flow.
    #[error("the document is no flow")]
    Json(#[from] serde_json::Error),
    /// The protos of this program do not describe flows, which no build of it should get as far as.
    #[error("flows are not described")]
    Descriptor(#[from] DescriptorError),
    /// As above.
    #[error("flows are not described: {FLOW} is missing")]
    Undescribed,
    /// As above.
    #[error("flows are described wrongly")]
    Decode(#[from] prost::DecodeError),
}

/// Reads a flow. Unknown keys are refused.
pub(super) fn flow(text: &str) -> Result<Flow, Error> {
    Ok(Flow::decode(&*message(text)?.encode_to_vec())?)
}

/// The same document in one line, its keys in the order of the proto.
pub(super) fn in_one_line(text: &str) -> Result<String, Error> {
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut line = Vec::new();
    let mut json = serde_json::Serializer::new(&mut line);
    message(text)?.serialize_with_options(&mut json, &options)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn message(text: &str) -> Result<DynamicMessage, Error> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
    let description = pool.get_message_by_name(FLOW).ok_or(Error::Undescribed)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize(description, &mut json)?;
    json.end()?;
    Ok(message)
}

/// A JSON value as gRPC carries it.
pub(crate) fn value(json: &serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(*value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(value) => Kind::StringValue(value.clone()),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(value).collect(),
        }),
        serde_json::Value::Object(fields) => Kind::StructValue(Struct {
            fields: fields
                .iter()
                .map(|(key, field)| (key.clone(), value(field)))
                .collect(),
        }),
    };
    Value { kind: Some(kind) }
}

/// The JSON value that gRPC has carried; whole numbers are shown without a fraction.
pub(super) fn json(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::NumberValue(number)) => whole(*number).map_or((*number).into(), Into::into),
        Some(Kind::StringValue(value)) => value.as_str().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(json).collect(),
        Some(Kind::StructValue(fields)) => fields
            .fields
            .iter()
            .map(|(key, field)| (key.clone(), json(field)))
            .collect(),
    }
}

/// The integer that a number is, within what a double holds exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is an integer within ±2^53"
    )]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_survives_the_way_to_the_wire_and_back() {
        let there = json!({ "n": 3, "f": 0.5, "s": "x", "l": [null, true, {}], "o": { "a": -1 } });

        assert_eq!(super::json(&value(&there)), there);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = flow(r#"{"id": "x", "nodez": []}"#).unwrap_err();

        assert!(matches!(error, Error::Json(_)), "{error}");
    }

    #[test]
    fn durations_and_configs_are_read() {
        let flow = flow(
            r#"{"id": "x", "nodes": [{"id": "a", "type": "delay", "timeout": "1.5s", "data": {"seconds": 5}}]}"#,
        )
        .unwrap();

        let node = &flow.nodes[0];
        let timeout = node.timeout.as_ref().unwrap();
        assert_eq!((timeout.seconds, timeout.nanos), (1, 500_000_000));
        let seconds = &node.data.as_ref().unwrap().fields["seconds"];
        assert_eq!(super::json(seconds), json!(5));
    }
}
