//! The gateway runs its own migrations, so that every host has the same database.

use schemas::sql::{MIGRATIONS, Migration};

use crate::platform::{Batch, Platform, PlatformError, Statement, Value};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT";

/// Takes every step that has not been taken. Answers how many it took.
pub(crate) async fn up(platform: &impl Platform) -> Result<usize, PlatformError> {
    platform.sql(Batch::write([Statement::new(TABLE, [])])).await?;
    let applied = applied(platform).await?;
    let mut taken = 0;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > applied) {
        let mut statements: Vec<_> = migration.up().map(|sql| Statement::new(sql, [])).collect();
        statements.push(Statement::new(
            "INSERT INTO migrations (version, name, applied_at) VALUES (?1, ?2, ?3)",
            [Value::from(migration.version), Value::from(migration.name), Value::from(platform.now().0)],
        ));
        platform.sql(Batch::write(statements)).await?;
        taken += 1;
    }
    Ok(taken)
}

/// Takes steps back until only `version` of them are left.
pub(crate) async fn down(platform: &impl Platform, version: i64) -> Result<usize, PlatformError> {
    let applied = applied(platform).await?;
    let back: Vec<&Migration> = MIGRATIONS
        .iter()
        .rev()
        .filter(|migration| migration.version > version && migration.version <= applied)
        .collect();
    for migration in &back {
        let mut statements: Vec<_> = migration.down().map(|sql| Statement::new(sql, [])).collect();
        statements.push(Statement::new(
            "DELETE FROM migrations WHERE version = ?1",
            [Value::from(migration.version)],
        ));
        platform.sql(Batch::write(statements)).await?;
    }
    Ok(back.len())
}

async fn applied(platform: &impl Platform) -> Result<i64, PlatformError> {
    let rows = platform
        .sql(Batch::read([Statement::new("SELECT COALESCE(MAX(version), 0) FROM migrations", [])]))
        .await?;
    super::first(&rows, 0).map_or(Ok(0), |row| row.integer(0))
}
