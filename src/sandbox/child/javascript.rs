//! JavaScript: a `QuickJS` runtime inside the child, with no module and nothing of the host but a console and timers.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rquickjs::context::EvalOptions;
use rquickjs::{
    CatchResultExt, CaughtError, Context, Ctx, Exception, Function, Object, Persistent, Promise,
    Runtime, Value,
};
use rustix::time::{ClockId, clock_gettime};

use super::Channel;
use crate::sandbox::frame::{self, Kind, Raised, Request};

/// Defines what programs find, and gives the functions by which they are driven.
const PRELUDE: &str = include_str!("prelude.js");

/// The most bytes of the stack that a program may use; the process has 8 MiB.
const MAX_STACK_BYTES: usize = 2 << 20;

/// How much memory there is for saying that none is left.
const RESERVE_BYTES: usize = 4 << 20;

/// The longest stack or message that is handed over, in bytes.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// The name of the program in stacks.
const FILE: &str = "<code>";

/// The function of the prelude that is told of promises that are rejected, and of those that are handled after all.
type Watcher = Rc<RefCell<Option<Persistent<Function<'static>>>>>;

/// Waits for one program and runs it.
pub fn serve(channel: &mut Channel) -> io::Result<()> {
    let machine = Machine::new().map_err(io::Error::other)?;
    frame::write(&mut *channel, frame::READY, &[])?;
    let (_, body) = frame::read(&mut *channel)?;
    let request: Request = serde_json::from_slice(&body)?;
    match machine.run(&request) {
        Ok(result) => frame::write(channel, frame::RESULT, result.as_bytes())?,
        Err(raised) => frame::write(channel, frame::RAISED, &serde_json::to_vec(&raised)?)?,
    }
    // Taking all that apart, which may be much, is left to the kernel.
    std::process::exit(0);
}

/// A runtime with one program in it.
struct Machine {
    runtime: Runtime,
    context: Context,
    /// When the CPU time is used up, by the clock of the process.
    cpu_until: Rc<Cell<Duration>>,
    interrupted: Rc<Cell<bool>>,
    watcher: Watcher,
    driver: RefCell<Option<Driver>>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A runtime must not end before what is kept of it.
        self.watcher.take();
        self.driver.take();
    }
}

impl Machine {
    fn new() -> rquickjs::Result<Self> {
        let runtime = Runtime::new()?;
        let context = Context::full(&runtime)?;
        runtime.set_max_stack_size(MAX_STACK_BYTES);
        let cpu_until = Rc::new(Cell::new(Duration::MAX));
        let interrupted = Rc::new(Cell::new(false));
        runtime.set_interrupt_handler(Some(Box::new({
            let (until, interrupted) = (Rc::clone(&cpu_until), Rc::clone(&interrupted));
            move || {
                if cpu_time() >= until.get() {
                    interrupted.set(true);
                }
                interrupted.get()
            }
        })));
        let watcher = Watcher::default();
        runtime.set_host_promise_rejection_tracker(Some(Box::new({
            let watcher = Rc::clone(&watcher);
            move |ctx, promise, reason, is_handled| {
                let watch = watcher.borrow().clone();
                let told = watch.map(|watch| {
                    let watch = watch.restore(&ctx)?;
                    watch.call::<_, ()>((promise, reason, is_handled))
                });
                if let Some(Err(_)) = told {
                    // Out of memory or time, which comes to light elsewhere.
                    ctx.catch();
                }
            }
        })));
        let driver = context.with(|ctx| furnish(&ctx, &watcher))?;
        Ok(Self {
            runtime,
            context,
            cpu_until,
            interrupted,
            watcher,
            driver: RefCell::new(Some(driver)),
        })
    }

    fn run(&self, request: &Request) -> Result<String, Raised> {
        let memory = usize::try_from(request.memory_bytes).unwrap_or(usize::MAX);
        self.runtime.set_memory_limit(memory);
        let allowed = Duration::from_secs(request.cpu_seconds.into());
        self.cpu_until.set(cpu_time() + allowed);
        self.execute(request).map_err(|(thrown, stage)| {
            // For what is said from here on.
            let memory = memory.saturating_add(RESERVE_BYTES);
            self.runtime.set_memory_limit(memory);
            // A program may throw null itself, which is also what is thrown when there is no memory for an error.
            let is_full = self.runtime.memory_usage().malloc_size
                >= i64::try_from(memory / 2).unwrap_or(i64::MAX);
            let mut raised = self.context.with(|ctx| describe(&ctx, thrown, is_full));
            let is_syntax = raised.name == "SyntaxError" && stage == Stage::Running;
            raised.kind = match raised.kind {
                _ if self.interrupted.get() => Kind::Cpu,
                Kind::Memory => Kind::Memory,
                _ if stage == Stage::Settling => Kind::Result,
                _ if is_syntax => self.kind_of_syntax_error(request),
                kind => kind,
            };
            raised.exit_code = 1;
            raised
        })
    }

    fn execute(&self, request: &Request) -> Result<String, (Thrown, Stage)> {
        let running = |thrown| (thrown, Stage::Running);
        self.within(|ctx| give(&ctx, request)).map_err(running)?;
        let program = |ctx: Ctx<'_>| {
            ctx.eval_with_options::<Value, _>(request.code.as_str(), options())
                .map(drop)
        };
        self.within(program).map_err(running)?;
        let driver = self.driver.take();
        let driver = driver.ok_or_else(|| running(Thrown::Machine(rquickjs::Error::Unknown)))?;
        self.run_to_completion(&driver).map_err(running)?;
        self.within(|ctx| settle(&ctx, driver))
            .map_err(|thrown| (thrown, Stage::Settling))
    }

    /// Does something with the program, and takes what is thrown meanwhile.
    fn within<T>(
        &self,
        work: impl for<'js> FnOnce(Ctx<'js>) -> rquickjs::Result<T>,
    ) -> Result<T, Thrown> {
        self.context
            .with(|ctx| work(ctx.clone()).map_err(|error| Thrown::take(&ctx, error)))
    }

    /// Runs what the program has left behind: promises and timers, until there are none.
    fn run_to_completion(&self, driver: &Driver) -> Result<(), Thrown> {
        let call = |name: &'static str| {
            self.within(|ctx| {
                let driver = driver.clone().restore(&ctx)?;
                driver.get::<_, Function>(name)?.call::<_, Option<f64>>(())
            })
        };
        loop {
            loop {
                match self.runtime.execute_pending_job() {
                    Ok(true) if !self.interrupted.get() => {}
                    Ok(false) => break,
                    // A job fails only when time or memory is used up.
                    _ => return Err(Thrown::Machine(rquickjs::Error::Allocation)),
                }
            }
            // Of a promise that was rejected and that nothing has handled.
            call("complain")?;
            let milliseconds = call("wait")?.unwrap_or(-1.0);
            if milliseconds < 0.0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_secs_f64(milliseconds.min(1e9) / 1_000.0));
            call("fire")?;
        }
    }

    /// Whether the code is none in its language, or only threw such an error when it ran (as `JSON.parse` does): behind
    /// a statement that throws, nothing runs, but all of it is still read.
    fn kind_of_syntax_error(&self, request: &Request) -> Kind {
        let Ok(other) = Context::full(&self.runtime) else {
            return Kind::Raised;
        };
        other.with(|ctx| {
            let code = format!("throw null;\n{}", request.code);
            let read = ctx
                .eval_with_options::<Value, _>(code, options())
                .catch(&ctx);
            match read {
                Err(CaughtError::Exception(_)) => Kind::Syntax,
                _ => Kind::Raised,
            }
        })
    }
}

/// The functions of the prelude by which a program is driven.
type Driver = Persistent<Object<'static>>;

/// Defines console and timers, and gives the functions that drive a program.
fn furnish(ctx: &Ctx<'_>, watcher: &Watcher) -> rquickjs::Result<Driver> {
    let prelude: Function = ctx.eval(PRELUDE)?;
    let begun = Instant::now();
    let write = Function::new(ctx.clone(), |stream: i32, text: String| {
        let written = match stream {
            2 => io::stderr().write_all(text.as_bytes()),
            _ => write_out(text.as_bytes()),
        };
        // A stream that nobody reads any more is nothing to the program.
        drop(written);
    })?;
    let clock = Function::new(ctx.clone(), move || begun.elapsed().as_secs_f64() * 1_000.0)?;
    let driver: Object = prelude.call((write, clock))?;
    let watch: Function = driver.get("watch")?;
    watcher.replace(Some(Persistent::save(ctx, watch)));
    Ok(Persistent::save(ctx, driver))
}

/// Puts the names there that the program finds.
fn give(ctx: &Ctx<'_>, request: &Request) -> rquickjs::Result<()> {
    let globals = ctx.globals();
    globals.set("data", ctx.json_parse(request.data.get())?)?;
    globals.set("context", ctx.json_parse(request.context.get())?)?;
    globals.set("result", Value::new_null(ctx.clone()))
}

/// The JSON of what the program has left in `result`.
fn settle(ctx: &Ctx<'_>, driver: Driver) -> rquickjs::Result<String> {
    // By its name, because `let result` hides the global property.
    let mut result: Value = ctx.eval_with_options("result", options())?;
    if let Some(promised) = result.as_promise().and_then(Promise::result::<Value>) {
        result = promised?;
    }
    let settle: Function = driver.restore(ctx)?.get("settle")?;
    let text: Option<String> = settle.call((result,))?;
    Ok(text.unwrap_or_else(|| "null".to_owned()))
}

/// Which part of an execution failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Settling,
}

/// What ended a program.
enum Thrown {
    /// What it threw, or what was thrown at it.
    Value(Persistent<Value<'static>>),
    /// A complaint of the runtime.
    Machine(rquickjs::Error),
}

impl Thrown {
    fn take(ctx: &Ctx<'_>, error: rquickjs::Error) -> Self {
        match error {
            rquickjs::Error::Exception => Self::Value(Persistent::save(ctx, ctx.catch())),
            error => Self::Machine(error),
        }
    }
}

/// As a script: not strict, with its own name in stacks.
fn options() -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(FILE.to_owned());
    options
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds)
        + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

/// Past the line buffer of the standard library, which would hold the end back.
fn write_out(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// What was thrown, in words.
fn describe(ctx: &Ctx<'_>, thrown: Thrown, is_full: bool) -> Raised {
    let value = match thrown {
        Thrown::Value(value) => value.restore(ctx).map_err(Thrown::Machine),
        machine @ Thrown::Machine(_) => Err(machine),
    };
    let mut raised = match value {
        Ok(value) if value.is_null() && is_full => out_of_memory("out of memory"),
        Ok(value) => of_value(ctx, &value),
        Err(Thrown::Machine(rquickjs::Error::Allocation)) => out_of_memory("out of memory"),
        Err(Thrown::Machine(error)) => Raised {
            message: error.to_string(),
            ..Raised::default()
        },
        Err(Thrown::Value(_)) => Raised::default(),
    };
    raised.line = line_in(&raised.stack);
    for text in [&mut raised.name, &mut raised.message, &mut raised.stack] {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    }
    raised
}

fn of_value<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Raised {
    let exception = value.clone().into_object().and_then(Exception::from_object);
    let Some(exception) = exception else {
        return Raised {
            message: text_of(ctx, value),
            ..Raised::default()
        };
    };
    let name = exception.as_object().get::<_, String>("name").catch(ctx);
    let name = name.unwrap_or_else(|_| "Error".to_owned());
    let message = exception.message().unwrap_or_default();
    let is_memory = name == "InternalError" && message.starts_with("out of memory");
    Raised {
        kind: if is_memory {
            Kind::Memory
        } else {
            Kind::Raised
        },
        name,
        message,
        stack: exception.stack().unwrap_or_default(),
        ..Raised::default()
    }
}

fn out_of_memory(message: &str) -> Raised {
    Raised {
        kind: Kind::Memory,
        message: message.to_owned(),
        ..Raised::default()
    }
}

/// A thrown value that is no error.
fn text_of<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> String {
    let text = match value.as_string() {
        Some(text) => text.to_string().ok(),
        None => ctx
            .json_stringify(value.clone())
            .catch(ctx)
            .ok()
            .flatten()
            .and_then(|text| text.to_string().ok()),
    };
    text.unwrap_or_else(|| "a value that has no text was thrown".to_owned())
}

/// The innermost line of the program in a stack: `at f (<code>:3:9)`; 0 where there is none.
fn line_in(stack: &str) -> u32 {
    let place = stack
        .find("<code>:")
        .map(|at| &stack[at + FILE.len() + 1..]);
    let digits = place.and_then(|place| place.split(|c: char| !c.is_ascii_digit()).next());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn run_with(code: &str, data: &str, memory_bytes: u64) -> Result<String, Raised> {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        Machine::new().unwrap().run(&Request {
            code: code.to_owned(),
            data: &data,
            context: RawValue::NULL,
            cpu_seconds: 1,
            memory_bytes,
        })
    }

    fn run(code: &str) -> Result<String, Raised> {
        run_with(code, "{\"n\": 20}", 64 << 20)
    }

    fn kind(code: &str) -> Kind {
        run(code).expect_err(code).kind
    }

    #[test]
    fn the_result_is_what_the_name_holds_at_the_end() {
        for (code, expected) in [
            ("result = data.n * 2 + 1", "41"),
            ("let result = [1, undefined]", "[1,null]"),
            ("", "null"),
            ("result = undefined", "null"),
            (
                "result = {a: undefined, b: 2n ** 60n, c: 7n}",
                r#"{"b":"1152921504606846976","c":7}"#,
            ),
            ("result = new Date(0)", r#""1970-01-01T00:00:00.000Z""#),
            ("result = (async () => 5)()", "5"),
            ("(async () => { await 0; result = 6 })()", "6"),
            (
                "setTimeout((x) => { result = x }, 2, 7); setTimeout(() => { result = 8 })",
                "7",
            ),
            ("clearTimeout(setTimeout(() => { result = 9 }))", "null"),
            ("Promise.reject(1).catch(() => { result = 1 })", "1"),
        ] {
            assert_eq!(run(code).expect(code), expected, "{code}");
        }
    }

    #[test]
    fn failures_are_told_apart() {
        assert_eq!(kind("const = 5"), Kind::Syntax);
        assert_eq!(kind("const a = 1; JSON.parse('{')"), Kind::Raised);
        assert_eq!(kind("const a = 1; let a = 2"), Kind::Syntax);
        assert_eq!(kind("null.x"), Kind::Raised);
        assert_eq!(kind("throw 5"), Kind::Raised);
        assert_eq!(kind("throw null"), Kind::Raised);
        assert_eq!(kind("(async () => { null.x })()"), Kind::Raised);
        assert_eq!(
            kind("result = Promise.reject(new Error('no'))"),
            Kind::Raised
        );
        assert_eq!(kind("for (;;);"), Kind::Cpu);
        assert_eq!(kind("for (;;) { try { for (;;); } catch {} }"), Kind::Cpu);
        assert_eq!(
            kind("const a = []; for (;;) a.push('x'.repeat(1e6) + a.length)"),
            Kind::Memory
        );
        for code in [
            "result = NaN",
            "result = {f() {}}",
            "result = [Symbol()]",
            "result = {}; result.me = result",
            "result = new Map([[1, 2]])",
            "result = new Promise(() => {})",
        ] {
            assert_eq!(kind(code), Kind::Result, "{code}");
        }
    }

    #[test]
    fn an_exception_has_its_type_message_and_line() {
        let raised = run("const a = 1\n\nfunction f() { null.x }\nf()").unwrap_err();

        assert_eq!((&*raised.name, raised.line), ("TypeError", 3), "{raised:?}");
        assert!(raised.message.contains("null"), "{raised:?}");
        assert_eq!(run("\n\nconst = 5").unwrap_err().line, 3);
    }

    #[test]
    fn there_is_nothing_of_the_host() {
        for name in [
            "require",
            "process",
            "std",
            "os",
            "fetch",
            "Deno",
            "scriptArgs",
            "print",
            "setInterval",
        ] {
            assert_eq!(
                run(&format!("result = typeof {name}")).unwrap(),
                r#""undefined""#
            );
        }
        assert_eq!(kind("import('os')"), Kind::Raised);
    }
}
