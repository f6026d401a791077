//! Recorded decisions: where they come from, and how all cores replay them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use policies::replay::{Replay, Report, Sets};
use policies::{CompiledSet, PolicySource, compile};
use schemas::ids::Timestamp;
use serde_json::Value;

use super::check::now;
use super::directory;
use super::pull::part;
use crate::operate::Failure;
use crate::remote::{At, Gateway, Usage};

/// Which recorded decisions.
#[derive(Debug, clap::Args)]
pub(crate) struct Records {
    /// File of recorded events, one JSON event a line as `GET .../audit` gives them; `-` for standard input. Without it, they
    /// are fetched from the gateway.
    #[arg(long = "records", value_name = "FILE")]
    pub(crate) file: Option<String>,
    /// Only those not older than this: `90m`, `24h`, `7d`.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) since: Option<Duration>,
    /// Directory of the policy sets that decided, as `<hash>.json`. They tell which arguments were recorded. By default `sets`
    /// beside the directory of policies.
    #[arg(long, value_name = "DIR")]
    pub(crate) sets: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) at: At,
}

/// `7d`, `24h`, `90m`.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no age; write it as `90m`, `24h` or `7d`");
    let seconds = match text.chars().last() {
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(['m', 'h', 'd']).parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

impl Records {
    /// Replays them against a draft.
    pub(crate) fn replay(&self, draft: &CompiledSet, dir: &Path) -> Result<Report, Failure> {
        let gateway = if self.file.is_none() { Some(self.gateway()?) } else { None };
        let sets = match &gateway {
            Some(gateway) => sets_of(gateway)?,
            None => self.sets(dir)?,
        };
        let since = self.oldest();
        let mut report =
            on_all_cores(draft, &sets, since, |blocks| self.each_block(gateway.as_ref(), blocks))?;
        report.sort();
        Ok(report)
    }

    fn gateway(&self) -> Result<Gateway, Failure> {
        self.at.open().map_err(|error| match error.downcast_ref::<Usage>() {
            Some(usage) => {
                format!("say where the records are, with `--records FILE`, or of which gateway: {usage}")
                    .into()
            }
            None => error,
        })
    }

    fn oldest(&self) -> Option<Timestamp> {
        let age = self.since?;
        Some(now().plus(-i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Every line, for whoever looks at them one by one.
    pub(crate) fn each_line(&self, mut line: impl FnMut(&str)) -> Result<(), Failure> {
        let gateway = if self.file.is_none() { Some(self.gateway()?) } else { None };
        self.each_block(gateway.as_ref(), &mut |block| {
            block.lines().for_each(&mut line);
            Ok(())
        })
    }

    /// Hands over blocks of whole lines.
    fn each_block(
        &self,
        gateway: Option<&Gateway>,
        block: &mut dyn FnMut(String) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match (&self.file, gateway) {
            (Some(file), _) if file == "-" => from_reader(io::stdin().lock(), block),
            (Some(file), _) => {
                let opened = File::open(file).map_err(|error| format!("`{file}` can't be read: {error}"))?;
                from_reader(BufReader::with_capacity(1 << 16, opened), block)
            }
            (None, Some(gateway)) => from_gateway(gateway, self.oldest(), block),
            (None, None) => Ok(()),
        }
    }

    fn sets(&self, dir: &Path) -> Result<Sets, Failure> {
        let beside = || dir.canonicalize().ok()?.parent().map(|above| above.join("sets"));
        let Some(path) = self.sets.clone().or_else(beside) else { return Ok(Sets::new()) };
        let mut sets = Sets::new();
        for file in directory::files(&path, "json")? {
            let source: PolicySource = directory::json(&file)?;
            add(&mut sets, &source);
        }
        Ok(sets)
    }
}

/// Replays what a gateway has on record of late.
pub(crate) fn recent(gateway: &Gateway, draft: &CompiledSet, age: Duration) -> Result<Report, Failure> {
    let sets = sets_of(gateway)?;
    let oldest = now().plus(-i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let mut report =
        on_all_cores(draft, &sets, Some(oldest), |blocks| from_gateway(gateway, Some(oldest), blocks))?;
    report.sort();
    Ok(report)
}

/// Adds a set under its own hash. One that this build does not accept is left out: less can be told then.
fn add(sets: &mut Sets, source: &PolicySource) {
    if let Ok(set) = compile(source) {
        sets.insert(set.hash().to_string(), set);
    }
}

/// A set of the gateway, by its hash.
pub(crate) fn source_of(gateway: &Gateway, hash: &str) -> Result<PolicySource, Failure> {
    let set = gateway.get(&format!("/policies/sets/{hash}"))?;
    Ok(PolicySource { files: part(&set, "files")?, tools: part(&set, "tools")? })
}

fn sets_of(gateway: &Gateway) -> Result<Sets, Failure> {
    let history = gateway.get("/policies/history")?;
    let versions = history.get("versions").and_then(Value::as_array).into_iter().flatten();
    let hashes = versions.filter_map(|version| version.get("hash")).chain(history.get("live"));
    let mut sets = Sets::new();
    for hash in hashes.filter_map(Value::as_str) {
        if !sets.contains_key(hash) {
            add(&mut sets, &source_of(gateway, hash)?);
        }
    }
    Ok(sets)
}

/// How many bytes a thread takes at once.
const BLOCK: usize = 1 << 19;

fn from_reader(
    mut reader: impl BufRead,
    block: &mut dyn FnMut(String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        let mut text = String::with_capacity(BLOCK + (1 << 14));
        while text.len() < BLOCK && reader.read_line(&mut text)? > 0 {}
        if text.is_empty() {
            return Ok(());
        }
        block(text)?;
    }
}

fn from_gateway(
    gateway: &Gateway,
    oldest: Option<Timestamp>,
    block: &mut dyn FnMut(String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let since = oldest.map(|oldest| format!("&since={}", oldest.0.max(0))).unwrap_or_default();
    let mut after = String::new();
    loop {
        let page = gateway.get(&format!("/audit?decisions=true&limit=500{since}&after={after}"))?;
        let rows = page.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let Some(last) = rows.last().and_then(|row| row.pointer("/event/id")).and_then(Value::as_str) else {
            return Ok(());
        };
        last.clone_into(&mut after);
        let mut text = String::new();
        for event in rows.iter().filter_map(|row| row.get("event")) {
            text.push_str(&schemas::canonical::to_string(event)?);
            text.push('\n');
        }
        block(text)?;
    }
}

type Blocks<'b> = &'b mut dyn FnMut(String) -> Result<(), Failure>;

/// Replays blocks of lines on every core; tells how far it is, if somebody watches.
fn on_all_cores(
    draft: &CompiledSet,
    sets: &Sets,
    since: Option<Timestamp>,
    feed: impl FnOnce(Blocks<'_>) -> Result<(), Failure>,
) -> Result<Report, Failure> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver): (SyncSender<String>, Receiver<String>) = sync_channel(threads * 2);
    let receiver = Mutex::new(receiver);
    let lines = AtomicU64::new(0);
    thread::scope(|scope| {
        let work = || {
            let mut replay = Replay::new(draft, sets);
            if let Some(since) = since {
                replay = replay.since(since);
            }
            loop {
                let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(block) = next else { return replay.report() };
                let mut count = 0;
                for line in block.lines() {
                    replay.line(line);
                    count += 1;
                }
                lines.fetch_add(count, Ordering::Relaxed);
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut progress = Progress::start();
        let ended = feed(&mut |block| {
            progress.at(lines.load(Ordering::Relaxed))?;
            Ok(sender.send(block)?)
        });
        drop(sender);
        let mut report = Report::default();
        for worker in workers {
            report.add(worker.join().map_err(|_| "a thread broke")?);
        }
        progress.end()?;
        ended.map(|()| report)
    })
}

/// A line on standard error, while somebody watches.
struct Progress {
    watched: bool,
    started: Instant,
    told: Instant,
}

impl Progress {
    fn start() -> Self {
        let now = Instant::now();
        Self { watched: io::stderr().is_terminal(), started: now, told: now }
    }

    fn at(&mut self, lines: u64) -> io::Result<()> {
        if !self.watched || self.told.elapsed() < Duration::from_millis(200) {
            return Ok(());
        }
        self.told = Instant::now();
        write!(io::stderr(), "\r{lines} lines in {:.0} s ", self.started.elapsed().as_secs_f64())
    }

    fn end(&self) -> io::Result<()> {
        if self.watched { write!(io::stderr(), "\r{:40}\r", "") } else { Ok(()) }
    }
}
