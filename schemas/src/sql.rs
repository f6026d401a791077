//! The database, as numbered migrations in the SQLite dialect. The gateway runs them itself, on every host.

/// One step of the database's history.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its number, from 1, without gaps.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    up: &'static str,
    down: &'static str,
}

/// All migrations, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "foundation",
        up: include_str!("../sql/0001_foundation.up.sql"),
        down: include_str!("../sql/0001_foundation.down.sql"),
    },
    Migration {
        version: 2,
        name: "approvals",
        up: include_str!("../sql/0002_approvals.up.sql"),
        down: include_str!("../sql/0002_approvals.down.sql"),
    },
    Migration {
        version: 3,
        name: "people and policies",
        up: include_str!("../sql/0003_people_and_policies.up.sql"),
        down: include_str!("../sql/0003_people_and_policies.down.sql"),
    },
    Migration {
        version: 4,
        name: "sign-in",
        up: include_str!("../sql/0004_sign_in.up.sql"),
        down: include_str!("../sql/0004_sign_in.down.sql"),
    },
    Migration {
        version: 5,
        name: "authorization server",
        up: include_str!("../sql/0005_authorization_server.up.sql"),
        down: include_str!("../sql/0005_authorization_server.down.sql"),
    },
    Migration {
        version: 6,
        name: "management",
        up: include_str!("../sql/0006_management.up.sql"),
        down: include_str!("../sql/0006_management.down.sql"),
    },
    Migration {
        version: 7,
        name: "vault",
        up: include_str!("../sql/0007_vault.up.sql"),
        down: include_str!("../sql/0007_vault.down.sql"),
    },
    Migration {
        version: 8,
        name: "connections",
        up: include_str!("../sql/0008_connections.up.sql"),
        down: include_str!("../sql/0008_connections.down.sql"),
    },
];

impl Migration {
    /// The statements that take the step.
    pub fn up(&self) -> impl Iterator<Item = &'static str> {
        statements(self.up)
    }

    /// The statements that take it back.
    pub fn down(&self) -> impl Iterator<Item = &'static str> {
        statements(self.down)
    }
}

/// A statement ends with a semicolon at the end of a line that an empty line or the end follows.
fn statements(script: &'static str) -> impl Iterator<Item = &'static str> {
    script.split(";\n\n").map(str::trim).filter(|statement| !statement.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_gaps_and_statements_are_whole() {
        for (migration, expected) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(migration.version, expected);
            for statement in migration.up().chain(migration.down()) {
                let first =
                    statement.lines().find(|line| !line.starts_with("--") && !line.is_empty()).unwrap();
                assert!(
                    ["CREATE", "DROP", "ALTER", "INSERT"].iter().any(|verb| first.starts_with(verb)),
                    "{statement}"
                );
            }
        }
    }
}
