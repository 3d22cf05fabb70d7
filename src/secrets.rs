//! Secrets: values that flows name, and that nobody but the server that they are sent to ever sees.
//!
//! A value comes in by `SecretService`, is sealed ([`sealing`]) with the first key of the [`KeyRing`], and lies in the
//! database like that. The [`Vault`] opens it when an attempt begins whose node names it, and keeps what it has opened
//! in memory only. What the attempt gets are the values that its node names ([`Granted`]), for the fields that are sent
//! out, and a [`Redactor`](crate::redact::Redactor) of all values that the run's revision names, which takes them out of
//! all that comes back.

pub mod granted;
pub mod hosts;
pub mod keys;
pub mod rotation;
pub mod sealing;
mod vault;

pub use granted::{Granted, NotForHost};
pub use keys::KeyRing;
pub use vault::{Denied, Known, Vault};

pub use crate::template::secrets::{MAX_NAME_CHARS, is_name};

/// The shortest value, in bytes.
pub const MIN_VALUE_BYTES: usize = 4;
/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 65_536;
