//! The important cases, as stories.

mod branches;
mod children;
mod ends;
mod failures;
mod loops;
mod pauses;
mod resolutions;
mod retries;
mod waits;
