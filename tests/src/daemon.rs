//! A Docker daemon of a test's own, to be killed without harm to anybody else's containers.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

thread_local! {
    static PRIVATE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The address of the daemon that this thread's test started, if it did.
pub(crate) fn private() -> Option<String> {
    PRIVATE.with_borrow(Clone::clone)
}

/// A daemon with its own data, socket and containerd, and no network: for servers on stdio. While it lives, it is the Docker host of
/// this thread. Dropped, it is gone with all it had.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    folder: TempDir,
}

impl Daemon {
    /// Starts one.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("dockerd").tempdir().unwrap();
        let daemon = Self { child: spawn(&folder), folder };
        daemon.is_up().await;
        PRIVATE.set(Some(daemon.address()));
        daemon
    }

    /// Kills it as a power cut would, its containers too, and starts it again.
    pub async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // It can't remove these any more, and would take them for another's.
        let _ = std::fs::remove_file(self.folder.path().join("pid"));
        self.child = spawn(&self.folder);
        self.is_up().await;
    }

    fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    async fn is_up(&self) {
        for _ in 0..300 {
            if self.docker(&["version"]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        panic!(
            "a second dockerd does not start; these tests need root and Docker's daemon: {}",
            last.join("\n")
        );
    }

    fn docker(&self, arguments: &[&str]) -> bool {
        let run = Command::new("docker")
            .arg("--host")
            .arg(self.address())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        run.is_ok_and(|status| status.success())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        PRIVATE.set(None);
        // Asked to end, it ends its containers and its containerd.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        for _ in 0..200 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        // It mounts its data on themselves, and leaves that so.
        let _ = Command::new("umount")
            .args(["--lazy"])
            .arg(self.folder.path().join("data"))
            .stderr(Stdio::null())
            .status();
    }
}

fn spawn(folder: &TempDir) -> Child {
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let log = std::fs::OpenOptions::new().create(true).append(true).open(path("log")).unwrap();
    // Killed before, it left a containerd of its own, which dies with it or is ended here; its file would say that it still runs.
    if let Ok(pid) = std::fs::read_to_string(path("exec/containerd/containerd.pid")) {
        let _ = Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status();
        let _ = std::fs::remove_file(path("exec/containerd/containerd.pid"));
    }
    Command::new("dockerd")
        .arg("--host")
        .arg(format!("unix://{}", path("socket").display()))
        .arg("--data-root")
        .arg(path("data"))
        .arg("--exec-root")
        .arg(path("exec"))
        .arg("--pidfile")
        .arg(path("pid"))
        .args(["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("dockerd must be there")
}
