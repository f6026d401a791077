//! What the other stages need, installed where it is missing.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::command::{ask, program, run};
use crate::report::Report;
use crate::stages::Step;

/// The stage. Each fault is reported, not only the first.
pub(crate) fn stage(root: &Path, report: &mut Report) -> Result<(), String> {
    let steps: [Step; 5] = [rust, packages, docker, node, python];
    let faults: Vec<String> = steps.iter().filter_map(|step| step(root, report).err()).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn rust(root: &Path, report: &mut Report) -> Result<(), String> {
    for (kind, wanted) in
        [("target", &["wasm32-unknown-unknown", "wasm32-wasip2"][..]), ("component", &["clippy", "rustfmt"])]
    {
        let installed = ask("rustup", &[kind, "list", "--installed"]);
        let Some(installed) = installed else {
            return Err("`rustup` does not answer; install Rust by way of https://rustup.rs".to_owned());
        };
        let missing: Vec<&str> = wanted
            .iter()
            .copied()
            // Components carry the host's name: `clippy-x86_64-unknown-linux-gnu`.
            .filter(|name| {
                !installed.lines().any(|line| line == *name || line.starts_with(&format!("{name}-")))
            })
            .collect();
        if !missing.is_empty() {
            run(report, program(root, "rustup", &[&[kind, "add"], missing.as_slice()].concat()))?;
        }
    }
    Ok(())
}

/// Programs that come from Debian packages, and the folders a lean `PATH` leaves out.
const PROGRAMS: [(&str, &str); 5] = [
    ("dockerd", "docker.io"),
    ("iptables", "iptables"),
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("chromium", "chromium"),
];

fn packages(root: &Path, report: &mut Report) -> Result<(), String> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !installed(program)).map(|(_, package)| *package).collect();
    // A daemon elsewhere does as well as one here.
    let missing: Vec<&str> =
        missing.into_iter().filter(|package| *package != "docker.io" || server().is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !is_root() {
        return Err(format!("missing programs; as root: `apt-get install {names}`"));
    }
    if !installed("apt-get") {
        return Err(format!("this is no Debian, so install by hand what Debian calls {names}"));
    }
    let apt = |arguments: &[&str]| {
        let mut command = program(root, "apt-get", arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let install = [&["install", "--yes", "--quiet", "--no-install-recommends"], missing.as_slice()].concat();
    run(report, apt(&["update", "--quiet"]))?;
    run(report, apt(&install))
}

fn installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(Into::into))
        .any(|folder| folder.join(name).is_file())
}

fn is_root() -> bool {
    ask("id", &["-u"]).is_some_and(|id| id.trim() == "0")
}

/// The version of the Docker daemon, if one answers.
fn server() -> Option<String> {
    let version = ask("docker", &["version", "--format", "{{.Server.Version}}"])?;
    Some(version.trim().to_owned()).filter(|version| !version.is_empty())
}

fn docker(root: &Path, report: &mut Report) -> Result<(), String> {
    if let Some(version) = server() {
        report.say(&format!("docker {version} answers"));
        return Ok(());
    }
    if !installed("docker") {
        return Err("the `docker` client is not installed".to_owned());
    }
    if let Some(host) = std::env::var_os("DOCKER_HOST") {
        let host = host.to_string_lossy();
        return Err(format!("nothing answers at `{host}`; start it, or unset `DOCKER_HOST`"));
    }
    if !is_root() {
        return Err("no Docker daemon answers; start it, or run this as root".to_owned());
    }
    let folder = root.join("target/verify");
    let log = folder.join("dockerd.log");
    let opened = fs::create_dir_all(&folder).and_then(|()| fs::File::create(&log));
    let file = opened.map_err(|error| format!("cannot write `{}`: {error}", log.display()))?;
    let errors = file.try_clone().map_err(|error| error.to_string())?;
    forget_dead_daemon();
    report.say(&format!("starting dockerd; it stays, and its log is {}", log.display()));
    let mut daemon = Command::new("dockerd");
    daemon.stdin(Stdio::null()).stdout(file).stderr(errors);
    // A group of its own, so that Ctrl-C here does not end it.
    daemon.process_group(0);
    let mut daemon = daemon.spawn().map_err(|error| format!("dockerd does not start: {error}"))?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_mins(1) {
        if let Some(version) = server() {
            report.say(&format!("docker {version} answers"));
            return Ok(());
        }
        if let Ok(Some(status)) = daemon.try_wait() {
            return Err(format!("dockerd ended ({status}); its log says: {}", tail(&log)));
        }
        sleep(Duration::from_millis(250));
    }
    Err(format!("dockerd does not answer after a minute; its log says: {}", tail(&log)))
}

/// A daemon that was killed leaves its process id behind, and the next one refuses to start when some other process has it now.
fn forget_dead_daemon() {
    let file = Path::new("/var/run/docker.pid");
    let Ok(id) = fs::read_to_string(file) else { return };
    let name = fs::read_to_string(format!("/proc/{}/comm", id.trim())).unwrap_or_default();
    if name.trim() != "dockerd" {
        // If this fails, the daemon says what is in its way.
        let _ = fs::remove_file(file);
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

fn node(root: &Path, report: &mut Report) -> Result<(), String> {
    let tests = root.join("tests");
    if !installed("npm") {
        return Err("`npm` is not installed; install Node 20 or later".to_owned());
    }
    once(&tests.join("package-lock.json"), &tests.join("node_modules/.installed-lock"), || {
        run(report, program(&tests, "npm", &["ci", "--no-fund", "--no-audit"]))
    })
}

fn python(root: &Path, report: &mut Report) -> Result<(), String> {
    let tests = root.join("tests");
    let requirements = tests.join("requirements.txt");
    if !installed("python3") {
        return Err("`python3` is not installed; install Python 3.10 or later".to_owned());
    }
    once(&requirements, &tests.join(".venv/installed-requirements"), || {
        run(report, program(&tests, "python3", &["-m", "venv", "--clear", ".venv"]))?;
        let pip = tests.join(".venv/bin/pip");
        let install =
            ["install", "--quiet", "--disable-pip-version-check", "--requirement", "requirements.txt"];
        run(report, program(&tests, pip, &install))
    })
}

/// Installs unless the stamp says that exactly this list is installed. The stamp is a copy of the list, written last.
fn once(list: &Path, stamp: &Path, install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let wanted = fs::read(list).map_err(|error| format!("cannot read `{}`: {error}", list.display()))?;
    if fs::read(stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    let written =
        fs::File::create(stamp).and_then(|mut file: fs::File| -> io::Result<()> { file.write_all(&wanted) });
    written.map_err(|error| format!("cannot write `{}`: {error}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_installed_once_and_again_when_it_changes() {
        let folder = std::env::temp_dir().join(format!("ambit-verify-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (list, stamp) = (folder.join("list"), folder.join("stamp"));
        let mut installs = 0;
        fs::write(&list, "one").unwrap();
        assert!(once(&list, &stamp, || Err("no network".to_owned())).is_err(), "a failure leaves no stamp");
        for text in ["one", "one", "two", "two"] {
            fs::write(&list, text).unwrap();
            once(&list, &stamp, || {
                installs += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(installs, 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
