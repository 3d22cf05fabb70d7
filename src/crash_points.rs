//! Places where tests end or stop the process: between two things of which one is durable and the other is not yet.
//!
//! They are there in the build for tests only (feature `failpoints` of the crate `fail`, which development dependencies turn
//! on); in any other build [`reach`] is empty and `FAILPOINTS` means nothing. There that variable says what happens where,
//! in the words of the crate `fail`: `journal.move.after=3*off->1*return(kill)` kills the process when it is there for
//! the fourth time.
//!
//! | action | what happens |
//! |---|---|
//! | `return(kill)` | the process ends as by `kill -9` |
//! | `return(stop)` | the whole process stands still exactly there until somebody sends it `SIGCONT` |
//!
//! docs/CRASH-MATRIX.md lists the points, and what was seen to come of each.

use fail::FailScenario;
use rustix::process::{Signal, getpid, kill_process};

/// Reads `FAILPOINTS` in a build for tests; what it says holds until the value is dropped.
///
/// # Panics
///
/// In a build for tests, if the variable is malformed.
#[must_use]
pub fn arm() -> Option<FailScenario<'static>> {
    fail::has_failpoints().then(FailScenario::setup)
}

/// The process is at this point.
pub fn reach(point: &str) {
    if fail::has_failpoints() {
        // What the macro `fail_point!` does, which leaves arguments unused in a build without points.
        fail::eval(point, |action| act(point, action.as_deref()));
    }
}

/// An attempt of this node is about to begin its work: the point `attempt.<node>`.
pub fn reach_attempt(node: &str) {
    if fail::has_failpoints() {
        reach(&format!("attempt.{node}"));
    }
}

/// An attempt of this node has done its work, and nobody knows yet: the point `attempt.<node>.done`.
pub fn reach_attempt_done(node: &str) {
    if fail::has_failpoints() {
        reach(&format!("attempt.{node}.done"));
    }
}

fn act(point: &str, action: Option<&str>) {
    // Before it acts, and unbuffered: it is how others know that the process was here.
    eprintln!("crash point {point}: {}", action.unwrap_or_default());
    match action {
        Some("kill") => {
            // Where even that fails, whoever waits for the end says so.
            kill_process(getpid(), Signal::KILL).ok();
        }
        Some("stop") => stop(),
        other => panic!("crash point {point} knows kill and stop, not {other:?}"),
    }
}

/// Stops the process with this thread at this very place: a signal to the process might let the thread go on a little.
#[expect(
    unsafe_code,
    reason = "nothing safe sends a signal to the calling thread"
)]
fn stop() {
    // SAFETY: it takes no pointers, and the signal has no handler.
    unsafe {
        libc::raise(libc::SIGSTOP);
    }
}
