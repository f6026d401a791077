//! Processes that run workloads, native or in wasm, and the time that they use for it.
//!
//! Both kinds are driven by the same lines and measured by the same clock from outside: the CPU time of their one working thread,
//! as Linux counts it. V8 compiles on other threads, which is not counted; that its first code is slow is.

use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use policies_wasm_bench::Bench;

/// A process that does what it is told.
pub(crate) struct Worker {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// This program once more: see [`serve`].
    pub(crate) fn native() -> Self {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.arg("--worker");
        Self::start(command)
    }

    /// The pinned Node with the wasm that was bound into this folder.
    pub(crate) fn in_node(bound: &Path) -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let node = package.join("../../../tests/node_modules/.bin/node");
        assert!(node.exists(), "the pinned Node is missing: run `npm ci` in tests/, or `cargo verify`");
        // What is linked to, not a script that starts it: its own time is what counts.
        let mut command = Command::new(fs::canonicalize(node).expect("the link leads somewhere"));
        command.arg(package.join("worker.cjs")).arg(bound.join("bench.js"));
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("`{command:?}` does not start: {error}"));
        let commands = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, commands, answers }
    }

    /// Chooses a workload.
    pub(crate) fn choose(&mut self, number: usize) {
        self.tell(&format!("choose {number}"));
    }

    /// The CPU time of so many jobs, without laying them out.
    pub(crate) fn run(&mut self, count: u32) -> Duration {
        self.tell(&format!("lay_out {count}"));
        let before = self.cpu();
        self.tell("run");
        self.cpu().saturating_sub(before)
    }

    fn tell(&mut self, command: &str) {
        let told =
            writeln!(self.commands, "{command}").and_then(|()| self.answers.read_line(&mut String::new()));
        assert!(matches!(told, Ok(1..)), "the worker stopped at `{command}`");
    }

    /// What its thread has used so far. A thread's time is written down when it goes to sleep, so let it.
    fn cpu(&self) -> Duration {
        thread::sleep(Duration::from_millis(2));
        let path = format!("/proc/{}/schedstat", self.child.id());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("`{path}`: {error}"));
        let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
        Duration::from_nanos(nanos.unwrap_or_else(|| panic!("`{path}` is not as Linux writes it: {text}")))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The native worker: does what the lines on standard input say, and answers each by an empty line.
pub(crate) fn serve() {
    let mut bench = Bench::new();
    for line in io::stdin().lines() {
        let line = line.expect("commands are text");
        let (command, number) = line.split_once(' ').unwrap_or((&line, ""));
        let number = || number.parse().expect("a command says a number");
        match command {
            "choose" => bench.choose(number()),
            "lay_out" => bench.lay_out(number()),
            _ => bench.run(),
        }
        io::stdout().write_all(b"\n").and_then(|()| io::stdout().flush()).expect("somebody listens");
    }
}
