//! Taking the values of secrets out of all that an attempt gives, before anything of it is kept or shown.

use crate::applet::{ApprovalRequest, Awaited, Call, Completion, Error, Loop, Outcome, Wait};
use crate::cpu::Cpu;
use crate::redact::Redactor;

/// What an attempt has given, without the values that the redactor knows.
pub(super) async fn clean(
    cpu: &Cpu,
    redactor: &Redactor,
    completion: Result<Completion, Error>,
) -> Result<Completion, Error> {
    let redactor = redactor.clone();
    // An output may have many megabytes.
    let clean = move || match completion {
        Ok(completion) => Ok(given(&redactor, completion)),
        Err(error) => Err(failed(&redactor, error)),
    };
    cpu.run(clean).await?
}

fn given(redactor: &Redactor, completion: Completion) -> Completion {
    match completion {
        Completion::Done(mut outcome) => {
            redactor.object(&mut outcome.details);
            Completion::Done(Outcome {
                output: redactor.shared(outcome.output),
                ..outcome
            })
        }
        Completion::Wait(wait) => Completion::Wait(waiting(redactor, wait)),
        Completion::Call(call) => Completion::Call(Call {
            input: redactor.shared(call.input),
            ..call
        }),
        Completion::Loop(items) => Completion::Loop(Loop {
            items: redactor.shared(items.items),
            ..items
        }),
    }
}

fn waiting(redactor: &Redactor, wait: Wait) -> Wait {
    let awaited = match wait.awaited {
        Awaited::Time => Awaited::Time,
        Awaited::Signal(name) => Awaited::Signal(redactor.text(&name).into_owned()),
        Awaited::Approval(mut asked) => {
            if let Some(schema) = &mut asked.form_schema {
                redactor.value(schema);
            }
            Awaited::Approval(ApprovalRequest {
                title: redactor.text(&asked.title).into_owned(),
                description: redactor.text(&asked.description).into_owned(),
                ..asked
            })
        }
    };
    Wait { awaited, ..wait }
}

/// An error without the values that the redactor knows.
pub(super) fn failed(redactor: &Redactor, mut error: Error) -> Error {
    redactor.object(&mut error.details);
    Error {
        message: redactor.text(&error.message).into_owned(),
        ..error
    }
}
