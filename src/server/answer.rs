//! Errors that are answered before any service sees the call, in the same form as those of the services.

pub(super) use crate::api::status::refusal::refusal;
