//! The most memory that a process has had for a while.

use std::fs;

use crate::Result;
use crate::processes::status_mib;

/// Has the kernel forget what the process needed before: what it reports from now on is the most since.
pub fn forget(pid: u32) -> Result<()> {
    // proc(5): 5 sets the peak to what is resident now.
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The most memory that the process has had since, in MiB.
pub fn peak_mib(pid: u32) -> Result<f64> {
    status_mib(pid, "VmHWM")
}
