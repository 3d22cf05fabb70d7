//! The rows of the matrix.

use crate::traffic::Kind;

/// A boundary between two things of which one is durable, or done, and the other is not yet.
#[derive(Clone, Debug)]
pub struct Boundary {
    /// Its name in the table.
    pub name: &'static str,
    /// The crash point of the program.
    pub point: &'static str,
    /// How often the process passes it before the fault.
    pub passes: u32,
    /// What is done and what is not.
    pub meaning: &'static str,
    /// How the process comes there.
    pub scene: Scene,
    /// What clients ask for meanwhile.
    pub kinds: &'static [Kind],
}

/// How a process comes to a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// It serves.
    Serving,
    /// It takes over what another one had, which was killed.
    TakingOver,
    /// It was told to stop (`SIGTERM`) while runs are in flight.
    Draining,
}

/// All of them.
pub fn boundaries() -> Vec<Boundary> {
    use Kind::{Cancelled, Large, Mixed, Nap, Retried, Slow, Waits};
    let serving = |name, point, passes, kinds, meaning| Boundary {
        name,
        point,
        passes,
        meaning,
        scene: Scene::Serving,
        kinds,
    };
    let mut rows = vec![
        serving(
            "birth, before the flush",
            "journal.birth.before",
            0,
            &[Mixed, Mixed],
            "nobody knows of the run but its process",
        ),
        serving(
            "birth, after the flush",
            "journal.birth.after",
            0,
            &[Mixed, Mixed],
            "the run is durable; its client has no answer",
        ),
        serving(
            "flush, before",
            "journal.move.before",
            3,
            &[Mixed, Waits],
            "events are in memory only",
        ),
        serving(
            "flush, after",
            "journal.move.after",
            3,
            &[Mixed, Waits],
            "events are durable; their process does not know",
        ),
        serving(
            "flush, published",
            "journal.published",
            4,
            &[Mixed, Waits],
            "watchers know of events; what follows has not begun",
        ),
        serving(
            "pure attempt, before",
            "attempt.shape",
            0,
            &[Mixed, Mixed],
            "the step before it is done; nothing of that is durable",
        ),
        serving(
            "idempotent attempt, before",
            "attempt.get",
            0,
            &[Mixed, Mixed],
            "the start is durable; the request is not sent",
        ),
        serving(
            "idempotent attempt, done",
            "attempt.get.done",
            0,
            &[Mixed, Mixed],
            "the request is answered; nobody knows",
        ),
        serving(
            "at-most-once attempt, before",
            "attempt.pay",
            0,
            &[Mixed, Mixed],
            "the start is durable; the request is not sent",
        ),
        serving(
            "at-most-once attempt, done",
            "attempt.pay.done",
            0,
            &[Mixed, Mixed],
            "the request has taken effect; nobody knows",
        ),
        serving(
            "item of a loop, done",
            "attempt.each.done",
            1,
            &[Mixed],
            "one item is done; nobody knows",
        ),
        serving(
            "payload, before its chunks",
            "payload.before",
            0,
            &[Large],
            "an output of 300 KiB is in memory only",
        ),
        serving(
            "payload, between its chunks",
            "payload.between",
            0,
            &[Large],
            "one chunk of two is stored",
        ),
        serving(
            "payload, before its event",
            "payload.after",
            0,
            &[Large],
            "the chunks are stored; nothing names them",
        ),
        serving(
            "child, before its birth",
            "child.unborn",
            0,
            &[Mixed],
            "the parent's journal names a child that is not there",
        ),
        serving(
            "child, before its parent is told",
            "child.untold",
            0,
            &[Mixed],
            "the child has ended; its parent waits",
        ),
        serving(
            "child, its parent is told",
            "child.told",
            0,
            &[Mixed],
            "the letter is there; the parent has not read it",
        ),
        serving(
            "wake-up by a letter, claimed",
            "claim.claimed",
            0,
            &[Waits, Waits],
            "the run has an owner, who has read nothing",
        ),
        serving(
            "wake-up by a letter, read",
            "adopt.read",
            0,
            &[Waits, Waits],
            "the history is read, the letter folded; nothing is written",
        ),
        serving(
            "wake-up by time, claimed",
            "claim.claimed",
            0,
            &[Nap, Nap, Nap],
            "the run has an owner, who has read nothing",
        ),
        serving(
            "letter, folded",
            "letter.folded",
            1,
            &[Waits, Cancelled],
            "the letter's event is in memory only",
        ),
        serving(
            "cancel, posted",
            "cancel.posted",
            0,
            &[Cancelled],
            "the cancel is durable; its caller has no answer",
        ),
        serving(
            "cancel, folded",
            "cancel.folded",
            0,
            &[Cancelled, Cancelled],
            "the run knows; nothing is written",
        ),
        serving(
            "retry, reopened",
            "retry.reopened",
            0,
            &[Retried],
            "the run is open again; its caller has no answer",
        ),
    ];
    let taking_over = |name, point, passes, meaning| Boundary {
        name,
        point,
        passes,
        meaning,
        scene: Scene::TakingOver,
        kinds: &[Slow, Slow],
    };
    rows.extend([
        taking_over(
            "take-over, claimed",
            "takeover.claimed",
            0,
            "the run has a new owner, who has read nothing",
        ),
        taking_over(
            "take-over, read",
            "adopt.read",
            0,
            "the history is read; nothing is written",
        ),
        taking_over(
            "take-over, before the first flush",
            "journal.move.before",
            0,
            "what follows is in memory only",
        ),
        taking_over(
            "take-over, after the first flush",
            "journal.move.after",
            0,
            "the new owner's first events are durable; it does not know",
        ),
    ]);
    let draining = |name, point, meaning| Boundary {
        name,
        point,
        passes: 0,
        meaning,
        scene: Scene::Draining,
        kinds: &[Slow, Slow, Waits],
    };
    rows.extend([
        draining(
            "drain, begun",
            "drain.begun",
            "it was told to stop, and goes on yet",
        ),
        draining(
            "drain, before a run is given back",
            "drain.leaving",
            "its attempts are cut off; its journal says nothing of it",
        ),
        draining(
            "drain, a run is given back",
            "drain.left",
            "the run is due and nobody's; nobody was told",
        ),
        draining(
            "drain, before it retires",
            "drain.unretired",
            "its runs are given back; its lease goes on",
        ),
        draining(
            "drain, retired",
            "drain.retired",
            "it owns nothing and never will; nobody was told",
        ),
    ]);
    rows
}
