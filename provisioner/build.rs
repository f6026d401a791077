//! Builds the entry program of servers that get a credential when they start: static, so that it runs in any image.

use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=entry/main.rs");
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let program = PathBuf::from(variable("OUT_DIR")?).join("entry");
    if variable("CARGO_CFG_TARGET_OS")? != "linux" {
        // Containers do not run here: whoever drives a host elsewhere from here is told so when it is needed.
        return std::fs::write(&program, b"").map_err(|error| error.to_string());
    }
    let built = Command::new(variable("RUSTC")?)
        .args(["--edition", "2024", "--crate-name", "entry", "--target", &variable("TARGET")?])
        .args(["-C", "target-feature=+crt-static", "-C", "panic=abort", "-C", "opt-level=s", "-C", "lto=fat"])
        .args(["-C", "strip=symbols", "-C", "codegen-units=1", "-o"])
        .arg(&program)
        .arg("entry/main.rs")
        .status()
        .map_err(|error| format!("the compiler does not run: {error}"))?;
    if built.success() { Ok(()) } else { Err("the entry program does not compile".to_owned()) }
}
