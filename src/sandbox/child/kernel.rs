//! The two calls to the kernel for which there is no safe function.

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Closes all descriptors from 3 up, whoever has left them open.
///
/// # Errors
///
/// Where the kernel lacks the call (before Linux 5.9).
#[expect(
    unsafe_code,
    reason = "closing descriptors by their number is unsafe where others may own them"
)]
pub fn close_inherited() -> io::Result<()> {
    // SAFETY: called first thing in the process, whose only thread owns no descriptor yet but 0 to 2.
    let closed = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if closed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Leaves the namespaces of the service.
///
/// # Errors
///
/// Where the kernel does not let us.
#[expect(unsafe_code, reason = "threads could lose sight of descriptors")]
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: there is one thread, and the table of descriptors stays what it is.
    let left = unsafe { unshare_unsafe(flags) };
    Ok(left?)
}
