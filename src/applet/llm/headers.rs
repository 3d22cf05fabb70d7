//! Headers that a node has sent to its provider.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::applet::Error;
use crate::value;

/// Headers as they are sent; null leaves one out.
pub(in crate::applet) fn of(entries: &Map<String, Value>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
        // Neither the value nor the error about it is told: it may be a secret.
        let wrong = || {
            let message = format!("headers.{name} holds what no header can hold");
            Error::permanent("INVALID_CONFIG", message)
        };
        let key = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value::to_text(value)).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}
