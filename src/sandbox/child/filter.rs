//! Which calls to the kernel a program may make: what is not named here fails with EPERM.
//!
//! There is no call here that opens a way to another process, to the network or to a file that is to be written, none
//! that starts a process or a thread, and none of those in which kernels have their holes (bpf, `io_uring`, keyctl,
//! perf, userfaultfd).

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// A filter, or why there is none.
pub type Program = Result<BpfProgram, String>;

/// Memory, time, its own signals, reading and writing what is open: what any program does without knowing it.
const PLAIN: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// Looking at files, of which landlock says which can be opened, and loading the interpreter's own libraries.
const READING: &[c_long] = &[
    libc::SYS_dup,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getppid,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_newfstatat,
    libc::SYS_pread64,
    libc::SYS_pselect6,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
];

/// What an interpreter needs once: to be started, and to shut the door behind it.
const STARTING: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_openat,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
];

/// `open` for anything but reading.
const WRITING_FLAGS: i32 = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;

/// `ioctl` that tells a terminal, and those that set close-on-exec.
const IOCTLS: [u64; 3] = [0x5401, 0x5450, 0x5451];

/// `fcntl` of a descriptor's own flags, and copies of it.
const FCNTLS: [i32; 5] = [
    libc::F_DUPFD,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_DUPFD_CLOEXEC,
];

/// For `QuickJS`, which needs no file and no memory that can be executed.
pub fn of_quickjs() -> Program {
    let mut rules = Rules::plain()?;
    let executable = libc::PROT_EXEC.unsigned_abs().into();
    rules.when(
        &[libc::SYS_mmap, libc::SYS_mprotect],
        &[(2, SeccompCmpOp::MaskedEq(executable), 0)],
    )?;
    rules.compile()
}

/// For a Python interpreter that has started.
pub fn of_python() -> Program {
    let mut rules = Rules::plain()?;
    rules.always(READING);
    let writing = WRITING_FLAGS.unsigned_abs().into();
    rules.when(
        &[libc::SYS_openat],
        &[(2, SeccompCmpOp::MaskedEq(writing), 0)],
    )?;
    // Asking for limits, not setting them.
    rules.when(&[libc::SYS_prlimit64], &[(2, SeccompCmpOp::Eq, 0)])?;
    for request in IOCTLS {
        rules.when(&[libc::SYS_ioctl], &[(1, SeccompCmpOp::Eq, request)])?;
    }
    for command in FCNTLS {
        let command = command.unsigned_abs().into();
        rules.when(&[libc::SYS_fcntl], &[(1, SeccompCmpOp::Eq, command)])?;
    }
    rules.compile()
}

/// For the time in which the interpreter starts: the same and what that needs.
pub fn of_starting_python() -> Program {
    let mut rules = Rules::plain()?;
    rules.always(READING);
    rules.always(STARTING);
    rules.always(&[libc::SYS_ioctl, libc::SYS_fcntl]);
    rules.compile()
}

struct Rules(BTreeMap<i64, Vec<SeccompRule>>);

impl Rules {
    /// What any program needs, and signals to itself.
    fn plain() -> Result<Self, String> {
        let mut rules = Self(BTreeMap::new());
        rules.always(PLAIN);
        let own = rustix::process::getpid().as_raw_pid().unsigned_abs().into();
        rules.when(
            &[libc::SYS_kill, libc::SYS_tgkill],
            &[(0, SeccompCmpOp::Eq, own)],
        )?;
        Ok(rules)
    }

    fn always(&mut self, calls: &[c_long]) {
        self.0.extend(calls.iter().map(|call| (*call, Vec::new())));
    }

    /// Allows calls also when all these hold: the number of an argument, a comparison, the value.
    fn when(
        &mut self,
        calls: &[c_long],
        conditions: &[(u8, SeccompCmpOp, u64)],
    ) -> Result<(), String> {
        let conditions: Result<Vec<_>, _> = conditions
            .iter()
            .map(|(argument, comparison, value)| {
                // The kernel takes all of these as 32 bits, but for pointers.
                let length = match comparison {
                    SeccompCmpOp::Eq if *value == 0 => SeccompCmpArgLen::Qword,
                    _ => SeccompCmpArgLen::Dword,
                };
                SeccompCondition::new(*argument, length, comparison.clone(), *value)
            })
            .collect();
        let rule = conditions.and_then(SeccompRule::new);
        let rule = rule.map_err(|error| error.to_string())?;
        for call in calls {
            self.0.entry(*call).or_default().push(rule.clone());
        }
        Ok(())
    }

    fn compile(self) -> Program {
        let arch = TargetArch::try_from(std::env::consts::ARCH)
            .map_err(|_| format!("no filter for {}", std::env::consts::ARCH))?;
        let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter = SeccompFilter::new(self.0, eperm, SeccompAction::Allow, arch);
        let program = filter.and_then(BpfProgram::try_from);
        program.map_err(|error| error.to_string())
    }
}

/// A filter as the kernel takes it, in hexadecimal digits: eight bytes an instruction.
pub fn encode(program: &BpfProgram) -> String {
    let bytes: Vec<u8> = program
        .iter()
        .flat_map(|step| {
            let [a, b] = step.code.to_ne_bytes();
            let [k0, k1, k2, k3] = step.k.to_ne_bytes();
            [a, b, step.jt, step.jf, k0, k1, k2, k3]
        })
        .collect();
    crate::value::canonical::hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_are_within_what_the_kernel_takes() {
        for program in [of_quickjs(), of_python(), of_starting_python()] {
            let program = program.unwrap();
            assert!(program.len() < 4096, "{}", program.len());
            assert_eq!(encode(&program).len(), program.len() * 16);
        }
    }

    #[test]
    fn no_call_stands_twice_once_always_and_once_with_conditions() {
        // An empty list of rules means always, so a condition beside it would narrow it.
        for call in [
            libc::SYS_openat,
            libc::SYS_ioctl,
            libc::SYS_kill,
            libc::SYS_mmap,
        ] {
            assert!(!PLAIN.contains(&call), "{call}");
        }
    }
}
