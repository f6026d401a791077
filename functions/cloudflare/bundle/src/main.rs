//! Builds the Cloudflare Worker into `functions/cloudflare/build/`.
//!
//! Does what `worker-build` does, without downloading tools: cargo compiles the adapter to wasm, the library behind
//! `wasm-bindgen` writes its JavaScript glue, and our own entry script (`src/worker.js`) goes beside it. `wrangler` and
//! `workerd` both load the folder as it is.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use clap::Parser;
use flate2::{Compression, write::GzEncoder};
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the Cloudflare Worker.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The Cargo profile to build with.
    #[arg(long, default_value = "edge")]
    profile: String,
    /// Where the Worker goes.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../build"))]
    out: PathBuf,
}

/// Why there is no Worker.
#[derive(Debug, thiserror::Error)]
enum BundleError {
    #[error("cargo could not build it (is the target there? `rustup target add {TARGET}`)")]
    Cargo,
    #[error("wasm-bindgen: {0}")]
    Glue(String),
    #[error("{action} `{}`: {error}", path.display())]
    File { action: &'static str, path: PathBuf, error: io::Error },
    #[error("{0}")]
    Io(#[from] io::Error),
}

fn main() -> ExitCode {
    match bundle(&Arguments::parse()) {
        Ok(report) => {
            let _ = writeln!(io::stderr(), "{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "no Worker was built: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bundle(arguments: &Arguments) -> Result<String, BundleError> {
    let wasm = compile(&arguments.profile)?;
    // A running workerd may be reading the old folder: put the new one together beside it, then swap.
    let staging = arguments.out.with_extension("new");
    remove(&staging)?;
    write_glue(&wasm, &staging)?;
    let entry = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/worker.js");
    let copied = staging.join("worker.js");
    fs::copy(&entry, &copied).map_err(|error| BundleError::File { action: "copy", path: entry, error })?;
    let size = measure(&staging.join("index_bg.wasm"))?;
    remove(&arguments.out)?;
    fs::rename(&staging, &arguments.out)?;
    Ok(format!("{}: {size}", fs::canonicalize(&arguments.out)?.display()))
}

/// Compiles the adapter; answers where the wasm is.
fn compile(profile: &str) -> Result<PathBuf, BundleError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(&root)
        .args(["build", "--package", "cloudflare", "--target", TARGET, "--profile", profile])
        .status()?;
    if !status.success() {
        return Err(BundleError::Cargo);
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target.join(TARGET).join(folder).join("cloudflare.wasm"))
}

/// Writes `index.js`, `index_bg.wasm` and the snippets they import.
fn write_glue(wasm: &Path, out: &Path) -> Result<(), BundleError> {
    let failed = |error: &dyn std::fmt::Display| BundleError::Glue(format!("{error:#}"));
    let mut bindgen = Bindgen::new();
    bindgen.module(true).map_err(|error| failed(&error))?;
    bindgen
        .input_path(wasm)
        .out_name("index")
        .typescript(false)
        .remove_name_section(true)
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate(out)
        .map_err(|error| failed(&error))?;
    // The platform hands out a compiled module for a plain import; it does not know the proposed syntax yet.
    let index = out.join("index.js");
    let glue = fs::read_to_string(&index)?.replace("import source ", "import ");
    let glue = flatten_snippets(out, glue)?;
    fs::write(&index, glue).map_err(|error| BundleError::File { action: "write", path: index, error })
}

/// Moves snippets of JavaScript from folders named by hashes to `snippet0.js`, `snippet1.js` ..., so that `workerd.capnp` can
/// name them.
fn flatten_snippets(out: &Path, mut glue: String) -> Result<String, BundleError> {
    let folder = out.join("snippets");
    let mut found: Vec<PathBuf> = Vec::new();
    for package in fs::read_dir(&folder).into_iter().flatten() {
        for snippet in fs::read_dir(package?.path())? {
            found.push(snippet?.path());
        }
    }
    found.sort();
    for (number, path) in found.iter().enumerate() {
        let name = format!("snippet{number}.js");
        let old = path.strip_prefix(out).unwrap_or(path).display().to_string();
        glue = glue.replace(&format!("./{old}"), &format!("./{name}"));
        fs::rename(path, out.join(name))?;
    }
    remove(&folder)?;
    Ok(glue)
}

/// The size of a file as it is and as it travels.
fn measure(path: &Path) -> Result<String, BundleError> {
    let bytes = fs::read(path)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    Ok(format!("{} bytes of wasm, {} gzipped", bytes.len(), gzip.finish()?.len()))
}

fn remove(folder: &Path) -> Result<(), BundleError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BundleError::File { action: "remove", path: folder.to_owned(), error })
        }
        _ => Ok(()),
    }
}
