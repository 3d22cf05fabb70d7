//! `code`: runs a program of the flow's author in JavaScript or Python, in a jail.
//!
//! The program finds its input as `data`, the run's input and other nodes' outputs in `context`, and leaves its output
//! in `result`. It can reach nothing outside, so that a repeated attempt does no harm.

mod failure;
mod request;
mod told;

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Applet, Completion, Context, Description, Effect, Error, Outcome};
use crate::flow::Violation;
use crate::sandbox::{Ending, Language, Limits, Sandbox};
use crate::template::Reads;

/// The longest code, in characters.
const MAX_CODE_CHARS: usize = 200_000;

/// Results of more bytes are read on the threads of [`crate::cpu::Cpu`].
const INLINE_BYTES: usize = 64 * 1024;

/// How much earlier than the attempt its program is ended, so that what it has printed can still be told.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Runs programs.
#[derive(Clone, Debug)]
pub struct Code {
    sandbox: Sandbox,
}

impl Code {
    /// Runs them in this sandbox.
    #[must_use]
    pub const fn new(sandbox: Sandbox) -> Self {
        Self { sandbox }
    }
}

/// What the author of a flow sets on a `code` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the program is written in.
    #[serde(default)]
    language: Language,
    /// The program. It finds `data` (the node's input) and `context` (`input`: the run's, `results`: outputs by node),
    /// and sets `result`.
    #[schemars(length(min = 1, max = 200_000))]
    code: String,
    /// How much CPU time it may use, in seconds: 1 to 60.
    #[serde(default = "default_cpu_time")]
    #[schemars(range(min = 1, max = 60))]
    cpu_time_seconds: u32,
    /// How much memory it may use beside what its interpreter takes, in MiB: 64 to 2,048.
    #[serde(default = "default_memory")]
    #[schemars(range(min = 64, max = 2048))]
    memory_limit_mb: u32,
    /// How much of what it prints is kept, in bytes: 1,024 to 1,048,576, for each of standard output and standard
    /// error. More is thrown away.
    #[serde(default = "default_output")]
    #[schemars(range(min = 1024, max = 1_048_576))]
    max_output_bytes: u32,
}

const fn default_cpu_time() -> u32 {
    3
}

const fn default_memory() -> u32 {
    256
}

const fn default_output() -> u32 {
    262_144
}

impl Applet for Code {
    const KIND: &'static str = "code";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Code",
            text: "Runs a program in Python (the server's CPython, with its standard library) or JavaScript (QuickJS). \
                   It finds the node's input as `data`, the run's input as `context.input` and outputs of finished nodes \
                   as `context.results.<node>.output`; what `result` holds at its end is the output. It has no network, \
                   no files, no environment and no processes or threads. What it prints is streamed, and kept with the \
                   step.",
            handles: &[],
            effect: Effect::Idempotent,
            reasons: failure::REASONS,
            example: || {
                json!({
                    "language": "javascript",
                    "code": "result = data.items.map((item) => item.price * item.quantity)",
                })
            },
            raw: &["code"],
            deferred: &[],
            default_timeout: Duration::from_secs(5),
            max_timeout: Duration::from_mins(2),
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Idempotent
    }

    fn check(config: &Config) -> Vec<Violation> {
        let mut violations = Vec::new();
        let length = config.code.chars().count();
        if config.code.trim().is_empty() {
            violations.push(Violation::at("code", "REQUIRED", "there is no code"));
        } else if length > MAX_CODE_CHARS {
            let description = format!("has {length} characters; allowed are 200,000");
            violations.push(Violation::at("code", "TOO_LONG", description));
        }
        for (field, value, bounds, (least, most)) in [
            (
                "cpu_time_seconds",
                config.cpu_time_seconds,
                "1 to 60",
                (1, 60),
            ),
            (
                "memory_limit_mb",
                config.memory_limit_mb,
                "64 to 2,048",
                (64, 2048),
            ),
            (
                "max_output_bytes",
                config.max_output_bytes,
                "1,024 to 1,048,576",
                (1024, 1_048_576),
            ),
        ] {
            if !(least..=most).contains(&value) {
                violations.push(Violation::out_of_bounds(field, value, bounds));
            }
        }
        violations
    }

    fn reads(config: &Config) -> Reads {
        Reads {
            // Which results a program reads cannot be told, but it has to name the context to read any.
            all_nodes: request::names_context(&config.code),
            ..Reads::default()
        }
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let limits = config.limits(context.deadline);
        let (language, code) = (config.language, config.code);
        let request = request::build(&context, code, &limits).await?;
        let pen = context.pen.clone();
        let on_output = |text: &str| pen.log(text);
        let report = self
            .sandbox
            .run(language, &request, &limits, &on_output)
            .await?;
        if report.stdout.1 || report.stderr.1 {
            context.pen.break_off();
        }
        let mut details = told::details(&context, language, &report).await;
        let output = match report.ending {
            Ending::Result(text) => read(&context, text).await,
            ending => Err(failure::of(ending, &limits, &context.redactor)),
        };
        match output {
            Ok(output) => Ok(Completion::Done(Outcome {
                details,
                ..Outcome::of(Arc::new(output))
            })),
            Err(mut error) => {
                details.append(&mut error.details);
                Err(Error { details, ..error })
            }
        }
    }
}

impl Config {
    fn limits(&self, deadline: Instant) -> Limits {
        let now = Instant::now();
        let rest = deadline.saturating_duration_since(now);
        Limits {
            cpu_seconds: self.cpu_time_seconds,
            memory_bytes: u64::from(self.memory_limit_mb) << 20,
            output_bytes: usize::try_from(self.max_output_bytes).unwrap_or(usize::MAX),
            deadline: now + rest.saturating_sub(LAST_WORDS.min(rest / 10)),
        }
    }
}

/// The value that a program has left.
async fn read(context: &Context, text: Vec<u8>) -> Result<Value, Error> {
    let is_small = text.len() <= INLINE_BYTES;
    let parse = move || serde_json::from_slice::<Value>(&text);
    let parsed = if is_small {
        parse()
    } else {
        context.cpu.run(parse).await?
    };
    parsed.map_err(|error| {
        let message = format!("the result is no JSON: {error}");
        Error::permanent("CODE_RESULT_INVALID", message)
    })
}
