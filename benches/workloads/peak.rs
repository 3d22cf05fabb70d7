//! The most memory that a process has had for a while.

use std::fs;

use crate::Result;

/// Has the kernel forget what the process needed before: what it reports from now on is the most since.
pub fn forget(pid: u32) -> Result<()> {
    // proc(5): 5 sets the peak to what is resident now.
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The most memory that the process has had since, in MiB.
pub fn peak_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: f64 = kib.ok_or("no VmHWM")?.parse()?;
    Ok(kib / 1_024.0)
}
