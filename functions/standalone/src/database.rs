//! SQLite in WAL mode. Each core reads on its own connection; one thread writes, and commits what came in meanwhile together, so that
//! many calls share one flush to the disk.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gateway::platform::{Access, Batch, PlatformError, Row, Rows, Statement, Value};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

/// How long writes that may wait do wait for company.
const SOON: Duration = Duration::from_millis(50);
/// Batches in one transaction, at most.
const GROUP: usize = 512;

/// One batch for the writer, and where its results go.
struct Job {
    batch: Batch,
    reply: oneshot::Sender<Result<Vec<Rows>, PlatformError>>,
}

/// The database of this process. Clones share the writer.
#[derive(Debug, Clone)]
pub struct Database {
    path: PathBuf,
    writer: mpsc::Sender<Job>,
}

impl Database {
    /// Opens (or makes) the file and starts its writer, which ends when the last clone is gone.
    ///
    /// # Errors
    /// The file can't be opened.
    pub fn open(path: &Path) -> Result<Self, PlatformError> {
        let connection = Connection::open(path).map_err(|error| failed(&error))?;
        configure(&connection)?;
        let (writer, jobs) = mpsc::channel();
        std::thread::Builder::new()
            .name("ambit-writer".to_owned())
            .spawn(move || write_all(&connection, &jobs))
            .map_err(|error| PlatformError::Database(error.to_string()))?;
        Ok(Self { path: path.to_owned(), writer })
    }

    /// A connection for one thread's reads.
    ///
    /// # Errors
    /// The file can't be opened.
    pub fn reader(&self) -> Result<Session, PlatformError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(|error| failed(&error))?;
        configure_reads(&connection)?;
        Ok(Session { connection })
    }

    /// Has the writer run a batch; returns when it is durable.
    ///
    /// # Errors
    /// A statement failed, and then none of the batch took effect; or the writer is gone.
    pub async fn write(&self, batch: Batch) -> Result<Vec<Rows>, PlatformError> {
        let (reply, result) = oneshot::channel();
        let gone = || PlatformError::Database("the writer is gone".to_owned());
        self.writer.send(Job { batch, reply }).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

/// One connection, used by one thread.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
}

impl Session {
    /// A database that lives in memory and nowhere else.
    ///
    /// # Errors
    /// SQLite can't open one.
    pub fn in_memory() -> Result<Self, PlatformError> {
        let connection = Connection::open_in_memory().map_err(|error| failed(&error))?;
        configure(&connection)?;
        Ok(Self { connection })
    }

    /// Runs a batch: reads as they are, writes in one transaction.
    ///
    /// # Errors
    /// A statement failed; no write took effect then.
    pub fn run(&self, batch: &Batch) -> Result<Vec<Rows>, PlatformError> {
        match batch.access {
            Access::Read if batch.statements.len() < 2 => run_all(&self.connection, &batch.statements),
            // One snapshot for all of them, which is cheaper than one for each.
            Access::Read => {
                in_transaction(&self.connection, "BEGIN", || run_all(&self.connection, &batch.statements))
            }
            Access::Write | Access::WriteSoon => in_transaction(&self.connection, "BEGIN IMMEDIATE", || {
                run_all(&self.connection, &batch.statements)
            }),
        }
    }
}

fn configure(connection: &Connection) -> Result<(), PlatformError> {
    // FULL: a commit that returned survives a power cut. Grouping is what makes this cheap. An intent has some 1300 bytes, and a page
    // of the default size keeps no more than 1000 of a row: the rest would cost a page of its own.
    connection
        .execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA wal_autocheckpoint = 2000;",
        )
        .map_err(|error| failed(&error))?;
    configure_reads(connection)
}

fn configure_reads(connection: &Connection) -> Result<(), PlatformError> {
    connection.busy_timeout(Duration::from_secs(5)).map_err(|error| failed(&error))?;
    connection.set_prepared_statement_cache_capacity(64);
    // Without this SQLite plans a prepared statement again whenever other values are bound to it, which costs more than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(|error| failed(&error))?;
    connection
        .execute_batch("PRAGMA mmap_size = 268435456; PRAGMA cache_size = -16384;")
        .map_err(|error| failed(&error))
}

fn failed(error: &rusqlite::Error) -> PlatformError {
    PlatformError::Database(error.to_string())
}

/// The writer: takes what is there, commits it together, answers, and starts over.
fn write_all(connection: &Connection, jobs: &mpsc::Receiver<Job>) {
    let mut group: Vec<Job> = Vec::new();
    loop {
        if !gather(jobs, &mut group) {
            return;
        }
        commit(connection, &mut group);
    }
}

/// Collects the next group. Writes that may wait do so for a moment; one that may not brings them all along. False at the end.
fn gather(jobs: &mpsc::Receiver<Job>, group: &mut Vec<Job>) -> bool {
    let Ok(first) = jobs.recv() else { return false };
    let mut urgent = first.batch.access == Access::Write;
    group.push(first);
    let until = Instant::now() + SOON;
    while group.len() < GROUP {
        let next = if urgent {
            jobs.try_recv().ok()
        } else {
            jobs.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
        };
        let Some(job) = next else { break };
        urgent |= job.batch.access == Access::Write;
        group.push(job);
    }
    true
}

fn commit(connection: &Connection, group: &mut Vec<Job>) {
    let results = in_transaction(connection, "BEGIN IMMEDIATE", || {
        group
            .iter()
            .map(|job| Ok(run_grouped(connection, &job.batch.statements)))
            .collect::<Result<Vec<_>, _>>()
    });
    match results {
        Ok(results) => {
            for (job, result) in group.drain(..).zip(results) {
                // Whoever asked may have gone away; the write stands.
                let _ = job.reply.send(result);
            }
        }
        Err(error) => {
            for job in group.drain(..) {
                let _ = job.reply.send(Err(error.clone()));
            }
        }
    }
}

/// One batch inside the group's transaction: if it fails, it leaves nothing, and the others stand. A single statement is atomic by
/// itself; more need a savepoint.
fn run_grouped(connection: &Connection, statements: &[Statement]) -> Result<Vec<Rows>, PlatformError> {
    if statements.len() < 2 {
        return run_all(connection, statements);
    }
    connection
        .prepare_cached("SAVEPOINT batch")
        .and_then(|mut s| s.execute([]))
        .map_err(|error| failed(&error))?;
    let results = run_all(connection, statements);
    let end = if results.is_ok() { "RELEASE batch" } else { "ROLLBACK TO batch; RELEASE batch" };
    connection.execute_batch(end).map_err(|error| failed(&error))?;
    results
}

fn in_transaction<T>(
    connection: &Connection,
    begin: &str,
    work: impl FnOnce() -> Result<T, PlatformError>,
) -> Result<T, PlatformError> {
    let run = |sql| {
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map_err(|error| failed(&error))
    };
    run(begin)?;
    match work() {
        Ok(done) => match run("COMMIT") {
            Ok(_) => Ok(done),
            Err(error) => {
                let _ = run("ROLLBACK");
                Err(error)
            }
        },
        Err(error) => {
            let _ = run("ROLLBACK");
            Err(error)
        }
    }
}

fn run_all(connection: &Connection, statements: &[Statement]) -> Result<Vec<Rows>, PlatformError> {
    statements.iter().map(|statement| run_one(connection, statement)).collect()
}

fn run_one(connection: &Connection, statement: &Statement) -> Result<Rows, PlatformError> {
    let mut prepared = connection.prepare_cached(&statement.sql).map_err(|error| failed(&error))?;
    let columns = prepared.column_count();
    let parameters = rusqlite::params_from_iter(statement.parameters.iter().map(Bound));
    if columns == 0 {
        prepared.execute(parameters).map_err(|error| failed(&error))?;
        return Ok(Rows::new());
    }
    let mut cursor = prepared.query(parameters).map_err(|error| failed(&error))?;
    let mut rows = Rows::new();
    while let Some(row) = cursor.next().map_err(|error| failed(&error))? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(match row.get_ref(column).map_err(|error| failed(&error))? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Real(_) | ValueRef::Blob(_) => {
                    return Err(PlatformError::Database(format!(
                        "column {column} holds neither text nor a whole number"
                    )));
                }
            });
        }
        rows.push(Row(values));
    }
    Ok(rows)
}

struct Bound<'a>(&'a Value);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn batches_are_atomic_and_independent_of_their_group() {
        let folder = std::env::temp_dir().join(format!("ambit-database-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let database = Database::open(&folder.join("test.sqlite")).unwrap();
        let write = |statements: Vec<Statement>| database.write(Batch::write(statements));
        write(vec![Statement::new("CREATE TABLE t (x INTEGER PRIMARY KEY) STRICT", [])]).await.unwrap();
        let insert = |x: i64| Statement::new("INSERT INTO t VALUES (?1)", [Value::Integer(x)]);

        let (good, bad, soon) = tokio::join!(
            write(vec![insert(1), insert(2)]),
            write(vec![insert(3), insert(1)]),
            database.write(Batch::write_soon([insert(4)])),
        );
        good.unwrap();
        assert!(bad.unwrap_err().to_string().contains("UNIQUE"));
        soon.unwrap();

        let reader = database.reader().unwrap();
        let rows = reader.run(&Batch::read([Statement::new("SELECT x FROM t ORDER BY x", [])])).unwrap();
        assert_eq!(rows[0].iter().map(|row| row.integer(0).unwrap()).collect::<Vec<_>>(), [1, 2, 4]);
        assert!(reader.run(&Batch::write([insert(9)])).is_err(), "a reader can't write");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
