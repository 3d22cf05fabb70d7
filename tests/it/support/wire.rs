//! JSON to protobuf values and back.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

/// A JSON value as gRPC carries it.
pub fn value(json: &serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(*value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap()),
        serde_json::Value::String(value) => Kind::StringValue(value.clone()),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(value).collect(),
        }),
        serde_json::Value::Object(_) => Kind::StructValue(fields(json)),
    };
    Value { kind: Some(kind) }
}

/// A JSON object as gRPC carries it.
pub fn fields(json: &serde_json::Value) -> Struct {
    let object = json.as_object().expect("a config is an object");
    let fields = object
        .iter()
        .map(|(key, field)| (key.clone(), value(field)));
    Struct {
        fields: fields.collect(),
    }
}

/// The JSON value that gRPC has carried: whole numbers without a fraction, null for what is absent.
pub fn json(value: Option<&Value>) -> serde_json::Value {
    match value.and_then(|value| value.kind.as_ref()) {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::NumberValue(number)) => whole(*number).map_or((*number).into(), Into::into),
        Some(Kind::StringValue(value)) => value.as_str().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(|value| json(Some(value))).collect(),
        Some(Kind::StructValue(object)) => object_of(object),
    }
}

/// The JSON object that gRPC has carried.
pub fn object_of(object: &Struct) -> serde_json::Value {
    let fields = object.fields.iter();
    fields
        .map(|(key, field)| (key.clone(), json(Some(field))))
        .collect()
}

fn whole(number: f64) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is an integer within ±2^53"
    )]
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}
