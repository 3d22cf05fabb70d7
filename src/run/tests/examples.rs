//! The important cases, as stories.

mod branches;
mod caution;
mod children;
mod ends;
mod failures;
mod loops;
mod pauses;
mod resolutions;
mod retries;
mod waits;
