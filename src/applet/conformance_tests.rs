//! What the predecessor did, case by case: recorded from it, with what differs on purpose written into the cases.

use serde::Deserialize;
use serde_json::Value;

use super::trial;
use crate::value;

const CASES: &str = include_str!("../../tests/conformance/applets.json");

#[derive(Deserialize)]
struct Case {
    applet: String,
    #[serde(rename = "case")]
    name: String,
    config: Value,
    #[serde(default)]
    input: Value,
    inputs: Option<Vec<Value>>,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    #[serde(default, deserialize_with = "super::if_else::present")]
    value: Option<Value>,
    branch: Option<String>,
    #[serde(default)]
    error: bool,
}

impl Case {
    /// What is not as expected.
    async fn failure(self) -> Option<String> {
        let context = match &self.inputs {
            Some(inputs) => trial::context_of(inputs),
            None => trial::context(self.input.clone()),
        };
        let result = trial::run_in(&self.applet, self.config, context).await;
        match result {
            Err(_) if self.expect.error => None,
            Err(error) => Some(error.to_string()),
            Ok(outcome) if self.expect.error => {
                Some(format!("{} instead of an error", outcome.output))
            }
            Ok(outcome) => {
                let port = outcome.port.map(|port| port.to_string());
                if port != self.expect.branch {
                    return Some(format!("port {port:?}"));
                }
                // The branch's input goes on.
                let expected = self.expect.value.unwrap_or(self.input);
                (!value::equal(&outcome.output, &expected))
                    .then(|| format!("{} instead of {expected}", outcome.output))
            }
        }
    }
}

#[tokio::test]
async fn every_recorded_case_comes_out_as_expected() {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    let here = ["transform", "if_else", "merge"];
    let mut failures = Vec::new();
    let mut count = 0;

    for case in cases {
        if !here.contains(&case.applet.as_str()) {
            continue;
        }
        count += 1;
        let name = format!("{}: {}", case.applet, case.name);
        if let Some(failure) = case.failure().await {
            failures.push(format!("{name}: {failure}"));
        }
    }

    assert_eq!(count, 67);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
