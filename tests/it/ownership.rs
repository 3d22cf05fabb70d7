//! Whose a run is: leases, claims and what happens to the runs of an executor that is gone.

mod claims;
mod handover;
mod turns;
