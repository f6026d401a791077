//! What must hold for a batch to take effect. A statement here inserts a row that its table refuses, unless the condition holds: then the
//! whole batch, which is one transaction, leaves nothing.

use crate::platform::{PlatformError, Statement, Value};

/// Why a batch left nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The thing is not as whoever asks thinks it is.
    Precondition,
    /// There is no such thing.
    Missing,
    /// The organisation has as many as it may have.
    Quota,
    /// The thing is not in a state for this.
    Conflict,
}

impl Refused {
    const ALL: [Self; 4] = [Self::Precondition, Self::Missing, Self::Quota, Self::Conflict];

    fn as_str(self) -> &'static str {
        match self {
            Self::Precondition => "precondition",
            Self::Missing => "missing",
            Self::Quota => "quota",
            Self::Conflict => "conflict",
        }
    }

    /// What a batch failed by, if it was one of these: SQLite names the constraint.
    pub(crate) fn of(error: &PlatformError) -> Option<Self> {
        let PlatformError::Database(text) = error else { return None };
        Self::ALL.into_iter().find(|why| text.contains(&format!("refused_{}", why.as_str())))
    }

    /// The statement that fails, unless `condition` holds.
    pub(super) fn unless(self, condition: &str, parameters: Vec<Value>) -> Statement {
        let why = self.as_str();
        Statement::new(
            format!("INSERT INTO refusals (why) SELECT '{why}' WHERE NOT ({condition})"),
            parameters,
        )
    }
}
