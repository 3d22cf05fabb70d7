//! The rows of the matrix.

use crate::traffic::Kind::{self, Cancelled, Large, Mixed, Nap, Retried, Slow, Waits};

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

/// Name, crash point, how often it is passed before, what clients ask for, and what is done and what is not.
type Serving = (
    &'static str,
    &'static str,
    u32,
    &'static [Kind],
    &'static str,
);

/// While the process serves.
const SERVING: [Serving; 24] = [
    (
        "birth, before the flush",
        "journal.birth.before",
        0,
        &[Mixed, Mixed],
        "nobody knows of the run but its process",
    ),
    (
        "birth, after the flush",
        "journal.birth.after",
        0,
        &[Mixed, Mixed],
        "the run is durable; its client has no answer",
    ),
    (
        "flush, before",
        "journal.move.before",
        3,
        &[Mixed, Waits],
        "events are in memory only",
    ),
    (
        "flush, after",
        "journal.move.after",
        3,
        &[Mixed, Waits],
        "events are durable; their process does not know",
    ),
    (
        "flush, published",
        "journal.published",
        4,
        &[Mixed, Waits],
        "watchers know of events; what follows has not begun",
    ),
    (
        "pure attempt, before",
        "attempt.shape",
        0,
        &[Mixed, Mixed],
        "the step before it is done; nothing of that is durable",
    ),
    (
        "idempotent attempt, before",
        "attempt.get",
        0,
        &[Mixed, Mixed],
        "the start is durable; the request is not sent",
    ),
    (
        "idempotent attempt, done",
        "attempt.get.done",
        0,
        &[Mixed, Mixed],
        "the request is answered; nobody knows",
    ),
    (
        "at-most-once attempt, before",
        "attempt.pay",
        0,
        &[Mixed, Mixed],
        "the start is durable; the request is not sent",
    ),
    (
        "at-most-once attempt, done",
        "attempt.pay.done",
        0,
        &[Mixed, Mixed],
        "the request has taken effect; nobody knows",
    ),
    (
        "item of a loop, done",
        "attempt.each.done",
        1,
        &[Mixed],
        "one item is done; nobody knows",
    ),
    (
        "payload, before its chunks",
        "payload.before",
        0,
        &[Large],
        "an output of 300 KiB is in memory only",
    ),
    (
        "payload, between its chunks",
        "payload.between",
        0,
        &[Large],
        "one chunk of two is stored",
    ),
    (
        "payload, before its event",
        "payload.after",
        0,
        &[Large],
        "the chunks are stored; nothing names them",
    ),
    (
        "child, before its birth",
        "child.unborn",
        0,
        &[Mixed],
        "the parent's journal names a child that is not there",
    ),
    (
        "child, before its parent is told",
        "child.untold",
        0,
        &[Mixed],
        "the child has ended; its parent waits",
    ),
    (
        "child, its parent is told",
        "child.told",
        0,
        &[Mixed],
        "the letter is there; the parent has not read it",
    ),
    (
        "wake-up by a letter, claimed",
        "claim.claimed",
        0,
        &[Waits, Waits],
        "the run has an owner, who has read nothing",
    ),
    (
        "wake-up by a letter, read",
        "adopt.read",
        0,
        &[Waits, Waits],
        "the history is read, the letter folded; nothing is written",
    ),
    (
        "wake-up by time, claimed",
        "claim.claimed",
        0,
        &[Nap, Nap, Nap],
        "the run has an owner, who has read nothing",
    ),
    (
        "letter, folded",
        "letter.folded",
        1,
        &[Waits, Cancelled],
        "the letter's event is in memory only",
    ),
    (
        "cancel, posted",
        "cancel.posted",
        0,
        &[Cancelled],
        "the cancel is durable; its caller has no answer",
    ),
    (
        "cancel, folded",
        "cancel.folded",
        0,
        &[Cancelled, Cancelled],
        "the run knows; nothing is written",
    ),
    (
        "retry, reopened",
        "retry.reopened",
        0,
        &[Retried],
        "the run is open again; its caller has no answer",
    ),
];

/// While it takes over: name, crash point, and what is done and what is not.
const TAKING_OVER: [(&str, &str, &str); 4] = [
    (
        "take-over, claimed",
        "takeover.claimed",
        "the run has a new owner, who has read nothing",
    ),
    (
        "take-over, read",
        "adopt.read",
        "the history is read; nothing is written",
    ),
    (
        "take-over, before the first flush",
        "journal.move.before",
        "what follows is in memory only",
    ),
    (
        "take-over, after the first flush",
        "journal.move.after",
        "the new owner's first events are durable; it does not know",
    ),
];

/// While it drains.
const DRAINING: [(&str, &str, &str); 5] = [
    (
        "drain, begun",
        "drain.begun",
        "it was told to stop, and goes on yet",
    ),
    (
        "drain, before a run is given back",
        "drain.leaving",
        "its attempts are cut off; its journal says nothing of it",
    ),
    (
        "drain, a run is given back",
        "drain.left",
        "the run is due and nobody's; nobody was told",
    ),
    (
        "drain, before it retires",
        "drain.unretired",
        "its runs are given back; its lease goes on",
    ),
    (
        "drain, retired",
        "drain.retired",
        "it owns nothing and never will; nobody was told",
    ),
];

/// All of them.
pub fn boundaries() -> Vec<Boundary> {
    let boundary = |scene, (name, point, passes, kinds, meaning): Serving| Boundary {
        name,
        point,
        passes,
        meaning,
        scene,
        kinds,
    };
    let serving = SERVING.into_iter().map(|row| boundary(Scene::Serving, row));
    let taking_over = TAKING_OVER.into_iter().map(|(name, point, meaning)| {
        boundary(Scene::TakingOver, (name, point, 0, &[Slow, Slow], meaning))
    });
    let draining = DRAINING.into_iter().map(|(name, point, meaning)| {
        let kinds = &[Slow, Slow, Waits];
        boundary(Scene::Draining, (name, point, 0, kinds, meaning))
    });
    serving.chain(taking_over).chain(draining).collect()
}
