//! What an operator may set.

use std::time::Duration;

/// How a provisioner behaves. The defaults suit a machine that people share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A workload nobody used for this long is paused: its memory stays, it is back in milliseconds.
    pub pause_after: Duration,
    /// A workload nobody used for this long is stopped: its memory goes, it is back in seconds.
    pub stop_after: Duration,
    /// How long a server may take from its start to its first answer.
    pub ready_within: Duration,
    /// How long calls under way may go on before a process is started anew with a newer credential.
    pub drain: Duration,
    /// The wait after a first failure; each further failure doubles it.
    pub first_back_off: Duration,
    /// The longest wait between two attempts.
    pub longest_back_off: Duration,
    /// A wait this short is waited out; a longer one is told to the caller.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pause_after: Duration::from_mins(5),
            stop_after: Duration::from_mins(30),
            ready_within: Duration::from_mins(1),
            drain: Duration::from_secs(10),
            first_back_off: Duration::from_millis(250),
            longest_back_off: Duration::from_mins(1),
            patience: Duration::from_secs(1),
        }
    }
}
