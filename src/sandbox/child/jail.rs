//! The jail: what a child gives up before it runs a program. Nothing of it can be taken back.
//!
//! Each layer alone keeps a program from the network, from files and from other processes; there are several because
//! each of them has had its holes.

use std::fs;
use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use super::{Order, filter, kernel};
use crate::sandbox::Layers;

/// The user that a program is in its own namespace: nobody.
const NOBODY: u32 = 65_534;

/// The most bytes of the stack.
const STACK_BYTES: u64 = 8 << 20;

/// The most descriptors at once.
const MAX_DESCRIPTORS: u64 = 64;

/// Gives up all but the seccomp filter, which has to be the last.
///
/// # Errors
///
/// What is missing, unless the order says to go on without.
pub fn enter(order: &Order) -> Result<Layers, String> {
    let mut layers = Layers::default();
    let mut missing = Vec::new();
    layers.namespaces = leave_namespaces();
    die_with_parent(order.parent).map_err(|error| format!("the service has gone: {error}"))?;
    layers.capabilities = drop_capabilities().is_ok();
    let mut note = |name: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => true,
        Err(error) => {
            missing.push(format!("{name}: {error}"));
            false
        }
    };
    layers.rlimits = note("rlimits", limit().map_err(|error| error.to_string()));
    let no_new_privs = rustix::thread::set_no_new_privs(true);
    layers.no_new_privs = note(
        "no_new_privs",
        no_new_privs.map_err(|error| error.to_string()),
    );
    note(
        "landlock",
        fence(order).map(|fenced| layers.landlock = fenced),
    );
    if missing.is_empty() || order.lenient {
        layers.missing = missing;
        Ok(layers)
    } else {
        Err(missing.join("; "))
    }
}

/// Installs a filter for good.
///
/// # Errors
///
/// Why it is not installed, unless the order says to go on without.
pub fn filter(order: &Order, layers: &mut Layers, program: filter::Program) -> Result<(), String> {
    let installed = program
        .and_then(|program| seccompiler::apply_filter(&program).map_err(|error| error.to_string()));
    layers.seccomp = installed.is_ok();
    match installed {
        Ok(()) => Ok(()),
        Err(error) if order.lenient => {
            layers.missing.push(format!("seccomp: {error}"));
            Ok(())
        }
        Err(error) => Err(format!("seccomp: {error}")),
    }
}

/// Makes sure that the child ends with the service, however that ends.
fn die_with_parent(parent: i32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have gone before that was set.
    if rustix::process::getppid().map(rustix::process::Pid::as_raw_pid) == Some(parent) {
        Ok(())
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Goes where there is no network, no shared memory and nobody else's user. Not every kernel lets us.
///
/// Process ids stay shared: a child of its own namespace would need a second process for each program, and the other
/// layers keep a program from naming any process but its own.
fn leave_namespaces() -> Vec<String> {
    let (uid, gid) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    let flags =
        UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if kernel::unshare(flags).is_err() {
        return Vec::new();
    }
    // Without the maps it is nobody as well, only that the kernel calls it so.
    let maps = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{NOBODY} {uid} 1")),
        ("gid_map", format!("{NOBODY} {gid} 1")),
    ];
    for (name, map) in maps {
        if fs::write(format!("/proc/self/{name}"), map).is_err() {
            break;
        }
    }
    ["user", "net", "ipc", "uts"].map(str::to_owned).into()
}

fn drop_capabilities() -> io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        // Refused without the right to do so, and then there are none to drop.
        if rustix::thread::remove_capability_from_bounding_set(capability).is_err() {
            break;
        }
    }
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}

fn limit() -> io::Result<()> {
    let limits = [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
        (Resource::Nofile, MAX_DESCRIPTORS),
        (Resource::Nproc, 0),
        (Resource::Stack, STACK_BYTES),
    ];
    for (resource, most) in limits {
        let before = rustix::process::getrlimit(resource);
        let most = before.maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )?;
    }
    Ok(())
}

/// Shuts off the file system but for what the interpreter is made of, and with newer kernels the network, signals to
/// others and abstract sockets. Says what is shut off.
fn fence(order: &Order) -> Result<String, String> {
    let paths = order.python.as_ref();
    let restrict = || -> Result<_, RulesetError> {
        let read = BitFlags::from(AccessFs::ReadFile);
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V5))?
            .handle_access(AccessNet::from_all(ABI::V4))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?;
        if let Some(python) = paths {
            ruleset = ruleset
                .add_rules(path_beneath_rules(
                    &python.directories,
                    read | AccessFs::ReadDir,
                ))?
                .add_rules(path_beneath_rules(&python.files, read | AccessFs::Execute))?;
        }
        ruleset.restrict_self()
    };
    let status = restrict().map_err(|error| error.to_string())?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Err("the kernel has none, or it is switched off".to_owned());
    };
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("the kernel does not enforce it".to_owned());
    }
    let shut = match effective_abi as i32 {
        ..4 => "files",
        4..6 => "files and TCP",
        _ => "files, TCP, signals and abstract sockets",
    };
    Ok(format!("ABI {}: {shut}", effective_abi as i32))
}
