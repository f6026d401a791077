//! CPU time of a process with its threads and children, as Linux counts it.

use std::collections::HashMap;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

/// CPU time that a process and everything it started have used so far: user and system, ended children included.
pub(crate) fn of_tree(root: u32) -> Duration {
    let processes: HashMap<u32, (u32, u64)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect();
    let mut ticks = 0;
    let mut tree = vec![root];
    while let Some(pid) = tree.pop() {
        ticks += processes.get(&pid).map_or(0, |(_, ticks)| *ticks);
        tree.extend(processes.iter().filter(|(_, (parent, _))| *parent == pid).map(|(child, _)| *child));
    }
    Duration::from_nanos(ticks * 1_000_000_000 / ticks_per_second())
}

/// Parent, and ticks of a process: its own (of all threads) and those of children it has waited for.
fn stat(text: &str) -> Option<(u32, u64)> {
    // The name is in parentheses and may hold anything, even parentheses.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let ticks = (11..15).map(number).sum::<Option<u64>>()?;
    Some((fields.get(1)?.parse().ok()?, ticks))
}

fn ticks_per_second() -> u64 {
    static TICKS: OnceLock<u64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let asked = std::process::Command::new("getconf").arg("CLK_TCK").output().ok();
        asked.and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok()).unwrap_or(100)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let line = "7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 50 6 700 8 20 0 1 0 1 1 1";
        assert_eq!(stat(line), Some((3, 50 + 6 + 700 + 8)));
    }

    #[test]
    fn our_own_time_goes_on() {
        let before = of_tree(std::process::id());
        let mut sum = 0_u64;
        while of_tree(std::process::id()) == before {
            sum = (0..1_000_000).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert_ne!(sum, 1);
    }
}
