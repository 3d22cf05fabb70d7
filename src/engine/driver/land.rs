//! What came of an attempt: made into events.

use super::Driver;
use crate::applet::{self, Awaited as Asks};
use crate::engine::attempt::{End, Landed, Placed};
use crate::engine::children::{Order, Start, Unborn};
use crate::ids::{FlowId, FlowKey, RunKey};
use crate::run::event::{
    Asked, Awaited, ChildStarted, LoopStarted, Parent, StepSucceeded, StepWaiting,
};
use crate::run::scope::StepKey;
use crate::run::state::StopCause;
use crate::usage::Usage;

impl Driver {
    /// Takes in an attempt that has come to its end.
    #[expect(clippy::too_many_lines, reason = "one arm for each end of an attempt")]
    pub(super) fn landed(&mut self, landed: Landed) {
        let Landed {
            step: key,
            number,
            started_at,
            end,
        } = landed;
        let known = self
            .flying
            .get(&key)
            .is_some_and(|flying| flying.number == number);
        if !known {
            // It was given up before it ended: its step has been decided without it.
            return;
        }
        self.flying.remove(&key);
        self.run.landed(key);
        self.told_to_end.remove(&key);
        let step = self.run.find_step(key);
        if step.is_none_or(|step| step.state.is_final()) || self.run.scope(key.scope).is_closed() {
            // Its item has come to its end meanwhile.
            return;
        }
        let path = self.run.path(key);
        match end {
            End::Output {
                output,
                port,
                details,
                usage,
            } => {
                let event = StepSucceeded {
                    path,
                    attempt: number,
                    started_at,
                    port,
                    output: output.info.clone(),
                    details,
                    usage,
                    reused: None,
                };
                self.items.remove(&key);
                let sequence = self.record(event, output.beside());
                self.outputs.insert(sequence, output.encoded);
            }
            End::Took(took) => {
                let event = StepSucceeded {
                    path,
                    attempt: number,
                    started_at,
                    port: took.port,
                    output: took.info.clone(),
                    details: took.details,
                    usage: Usage::default(),
                    reused: Some(took.reused.unwrap_or_else(|| self.given_here())),
                };
                let inline = took.encoded.as_ref().filter(|_| took.info.chunks.is_none());
                let text = inline.map(|encoded| std::sync::Arc::clone(&encoded.text));
                let sequence = self.record(event, text);
                if let Some(encoded) = took.encoded {
                    self.outputs.insert(sequence, encoded);
                }
            }
            End::Gone => self.recorded_is_gone(key.node),
            End::Wait(wait) => self.step_waits(key, number, started_at, wait),
            End::Call {
                flow_id,
                flow_key,
                revision,
                input,
            } => self.call(
                key,
                number,
                started_at,
                (flow_id, flow_key, revision),
                input,
            ),
            End::Loop(items, placed) => {
                let list = std::sync::Arc::clone(&placed.encoded.value);
                let count = list.as_array().map_or(0, Vec::len);
                let event = LoopStarted {
                    path,
                    attempt: number,
                    started_at,
                    items: placed.info.clone(),
                    count: u32::try_from(count).unwrap_or(u32::MAX),
                    concurrency: items.concurrency,
                    on_item_error: items.on_item_error,
                    truncated: items.truncated,
                };
                self.record(event, placed.beside());
                self.items.insert(key, list);
            }
            End::Cancelled { outcome_unknown } => {
                let cause = self.stopping.unwrap_or(if self.run.is_stopped(key.scope) {
                    StopCause::ItemFailed
                } else {
                    StopCause::RunCancelled
                });
                self.cut(key, number, cause, outcome_unknown);
            }
            End::Failed(error) => self.attempt_failed(key, number, started_at, error),
            End::PassedOn(error, handling, output) => {
                self.fail_for_good(key, number, started_at, error, handling, Some(output));
            }
        }
    }

    fn step_waits(
        &mut self,
        key: StepKey,
        attempt: u32,
        started_at: chrono::DateTime<chrono::Utc>,
        wait: applet::Wait,
    ) {
        let path = self.run.path(key);
        let far = self.run.deadline().unwrap_or(crate::run::FAR);
        let (awaited, taken) = match wait.awaited {
            Asks::Time => (Awaited::Time, None),
            Asks::Signal(name) => {
                let taken = self.run.find_kept_signal(&name);
                let expires = wait.until.is_some();
                (Awaited::Signal { name, expires }, taken)
            }
            Asks::Approval(request) => {
                let asked = Asked {
                    title: request.title,
                    description: request.description,
                    form_schema: request.form_schema,
                    default_decision: request.default_decision,
                    expires: wait.until.is_some(),
                };
                (Awaited::Approval(Box::new(asked)), None)
            }
        };
        self.record(
            StepWaiting {
                path,
                attempt,
                started_at,
                until: wait.until.unwrap_or(far),
                awaited,
                taken,
            },
            None,
        );
    }

    /// Journals that a child starts, and starts it once that is durable.
    fn call(
        &mut self,
        key: StepKey,
        attempt: u32,
        started_at: chrono::DateTime<chrono::Utc>,
        (flow_id, flow_key, revision): (FlowId, FlowKey, i32),
        input: Placed,
    ) {
        let run_id = self.parts.clock.run_id(self.now());
        let sequence = self.record(
            ChildStarted {
                path: self.run.path(key),
                attempt,
                started_at,
                run_id,
                flow_id,
                flow_key: flow_key.0,
                revision,
                input: input.info.clone(),
                until: self.run.deadline().unwrap_or(crate::run::FAR),
            },
            input.beside(),
        );
        self.outputs.insert(sequence, input.encoded);
        let child = RunKey {
            namespace: self.key.namespace.clone(),
            run_id,
        };
        let order = self.start_of(child, sequence, key);
        self.orders.push((sequence, order));
    }

    fn start_of(&self, child: RunKey, at: i64, step: StepKey) -> Order {
        Order::Start(Box::new(Start {
            child,
            at,
            priority: self.priority,
            parent: self.as_parent(step),
            unborn: Unborn::count(&self.unborn),
        }))
    }

    fn as_parent(&self, key: StepKey) -> Parent {
        Parent {
            run_id: self.key.run_id,
            path: self.run.path(key),
            depth: self.run.parent().map_or(0, |parent| parent.depth) + 1,
            deadline: self.run.deadline().unwrap_or(crate::run::FAR),
        }
    }

    /// Makes sure that the children that the run waits for exist: an owner before may have ended between the event and
    /// the start.
    pub(super) fn ensure_children(&self) {
        for (key, wait) in self.run.waiting() {
            if let Awaited::Child { run_id } = wait.what {
                let child = RunKey {
                    namespace: self.key.namespace.clone(),
                    run_id,
                };
                self.parts.order(self.start_of(child, wait.since, key));
            }
        }
    }

    /// Gives those orders whose event is durable.
    pub(super) fn give_orders(&mut self) {
        let committed = self.committed;
        for (at, order) in std::mem::take(&mut self.orders) {
            if at <= committed {
                self.parts.order(order);
            } else {
                self.orders.push((at, order));
            }
        }
    }
}
