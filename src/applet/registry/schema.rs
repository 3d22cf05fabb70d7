//! The JSON schema of a config, as the catalogue shows it and as unknown keys are found by it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::applet::Description;

/// The schema of `C`, whole (no `$defs`), with `x-template: false` on the keys that are never rendered.
pub fn of<C: JsonSchema>(description: &Description) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<C>()
        .to_value();
    if let Some(object) = schema.as_object_mut() {
        // The type's name and doc comment: the description says more.
        object.remove("title");
        object.remove("description");
        object.entry("properties").or_insert_with(|| json!({}));
        object.insert("additionalProperties".to_owned(), Value::Bool(false));
        if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
            mark_raw(properties, description.raw);
        }
    }
    schema
}

fn mark_raw(properties: &mut Map<String, Value>, raw: &[&str]) {
    for (key, property) in properties {
        // `true` is the schema of any value; as an object it can be marked and looks like the others.
        if *property == Value::Bool(true) {
            *property = json!({});
        }
        if raw.contains(&key.as_str())
            && let Some(object) = property.as_object_mut()
        {
            object.insert("x-template".to_owned(), Value::Bool(false));
        }
    }
}
