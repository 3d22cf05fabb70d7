//! Compiles the protos, without a protoc binary, and notes the commit that is built.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const PROTO_ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    compile_protos()?;
    note_commit();
    Ok(())
}

/// Writes clients, servers and messages, and the descriptor set that reflection serves.
///
/// The set holds the comments too, so that tools that ask the service can show them.
fn compile_protos() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    // The migrations are embedded: a new one must reach the binary.
    println!("cargo:rerun-if-changed=migrations");

    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(proto_files(&Path::new(PROTO_ROOT).join("synapps/v1"))?)?;

    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out_dir.join("synapps.v1.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    // What replicas say to each other is compiled too, and is nothing that callers are told of.
    compiler.open_files(proto_files(
        &Path::new(PROTO_ROOT).join("synapps/internal/v1"),
    )?)?;

    tonic_prost_build::configure()
        // A request has one canonical form only if its maps have an order.
        .btree_map(".")
        .bytes(".synapps.v1.ReadPayloadResponse.data")
        // They hold values of secrets.
        .skip_debug([
            ".synapps.v1.CreateSecretRequest",
            ".synapps.v1.AddSecretVersionRequest",
        ])
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The files in an order that does not depend on the file system, for builds that can be compared.
fn proto_files(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Sets `SYNAPPS_COMMIT` for `env!`: git's word, else the variable of that name, else `unknown`.
fn note_commit() {
    println!("cargo:rerun-if-env-changed=SYNAPPS_COMMIT");
    let commit = git_commit()
        .or_else(|| {
            env::var("SYNAPPS_COMMIT")
                .ok()
                .filter(|commit| !commit.is_empty())
        })
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=SYNAPPS_COMMIT={commit}");
}

/// The short commit, if this directory is a clone of its own and git can be run.
fn git_commit() -> Option<String> {
    // Sources unpacked inside somebody else's repository would otherwise get that one's commit.
    if !Path::new(".git").exists() {
        return None;
    }
    // HEAD changes with the branch, its log with each commit. A path that does not exist would make
    // every build start anew.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// What a git command prints, or nothing if git is missing, fails or prints nothing.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
