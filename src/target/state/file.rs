//! The file: tables of bytes. What it can't give is said, and never a panic.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use redb::Database;
use redb::DatabaseError;
use redb::ReadTransaction;
use redb::ReadableDatabase as _;
use redb::ReadableTable as _;
use redb::ReadableTableMetadata as _;
use redb::TableDefinition;
use redb::TableError;
use redb::TableHandle as _;
use redb::WriteTransaction;

use super::Error;

/// What the file keeps in memory of itself, in bytes.
const CACHE: usize = 8 << 20;
/// The table that says how all others are written.
const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
const VERSION: u64 = 1;

/// A key, with the table that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) table: Arc<str>,
    pub(super) bytes: Box<[u8]>,
}

/// What a key holds.
pub(super) type Value = Box<[u8]>;

/// Changes, to be made together: what each key holds from then on.
pub(super) type Batch = BTreeMap<Key, Option<Value>>;

/// One file, which only we have open.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    /// `None` while it is opened again, and where that failed.
    database: RwLock<Option<Database>>,
}

/// Why the file did not do what it should.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Its content is wrong, or of another version: it can't be used any more.
    Damaged(String),
    /// The disk did not do it. It must be opened again before it is used again.
    Disk(String),
    /// Another process has it.
    Locked,
}

impl File {
    /// Opens `path`. A damaged file is moved aside, and a new one begun.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = Self {
            path: path.to_owned(),
            database: RwLock::new(None),
        };
        file.reopen()?;
        Ok(file)
    }

    /// Closes the file, and opens it again.
    pub(super) fn reopen(&self) -> Result<(), Error> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        close(database.take());
        let opened = match open(&self.path) {
            Err(Trouble::Damaged(why)) => {
                self.move_aside(&why)?;
                open(&self.path)
            }
            opened => opened,
        };
        *database = Some(opened.map_err(|trouble| self.error(trouble))?);
        Ok(())
    }

    /// Goes on with a new file in place of one that is damaged.
    pub(super) fn begin_anew(&self, why: &str) -> Result<(), Error> {
        let database = self.database.write();
        close(database.unwrap_or_else(PoisonError::into_inner).take());
        self.move_aside(why)?;
        self.reopen()
    }

    fn move_aside(&self, why: &str) -> Result<(), Error> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".damaged");
        tracing::warn!(
            "{} can't be used ({why}); it is now {}. What targets have is found out again, and what \
             was still owed to them is mirrored when it is pulled again.",
            self.path.display(),
            aside.display()
        );
        fs::rename(&self.path, &aside).map_err(|error| self.error(Trouble::Disk(error.to_string())))
    }

    /// What `key` holds.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Value>, Trouble> {
        self.read(&key.table, None, |table| {
            let value = table.get(&*key.bytes)?;
            Ok(value.map(|value| value.value().into()))
        })
    }

    /// Calls `visit` with each key of `table` after `start`, in order, and what it holds, until
    /// that returns false.
    pub(super) fn scan(
        &self,
        table: &str,
        start: Bound<&[u8]>,
        mut visit: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Trouble> {
        self.read(table, (), |table| {
            for entry in table.range::<&[u8]>((start, Bound::Unbounded))? {
                let (key, value) = entry?;
                if !visit(key.value(), value.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// How many keys `table` has.
    pub(super) fn len(&self, table: &str) -> Result<u64, Trouble> {
        self.read(table, 0, |table| table.len())
    }

    /// The names of all tables.
    pub(super) fn tables(&self) -> Result<Vec<String>, Trouble> {
        self.using(|database| {
            let transaction = database.begin_read()?;
            let tables = transaction.list_tables()?;
            Ok(tables.map(|table| table.name().to_owned()).collect())
        })
    }

    /// Makes all changes, or none. They are on disk at the return.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), Trouble> {
        self.transact(|transaction| {
            let mut changes = batch.iter().peekable();
            while let Some((first, _)) = changes.peek() {
                let name = first.table.clone();
                let mut table = transaction.open_table(definition(&name))?;
                while let Some((key, value)) = changes.next_if(|(key, _)| key.table == name) {
                    match value {
                        Some(value) => table.insert(&*key.bytes, &**value)?,
                        None => table.remove(&*key.bytes)?,
                    };
                }
            }
            Ok(())
        })
    }

    /// Removes from `table` what `unwanted` says: how many. That is on disk at the return.
    pub(super) fn remove(
        &self,
        table: &str,
        mut unwanted: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64, Trouble> {
        if self.len(table)? == 0 {
            return Ok(0);
        }
        self.transact(|transaction| {
            let mut table = transaction.open_table(definition(table))?;
            let before = table.len()?;
            table.retain(|key, value| !unwanted(key, value))?;
            Ok(before - table.len()?)
        })
    }

    /// What went wrong, for whoever runs us.
    pub(super) fn error(&self, trouble: Trouble) -> Error {
        let path = self.path.clone();
        match trouble {
            Trouble::Locked => Error::Locked { path },
            Trouble::Damaged(problem) | Trouble::Disk(problem) => Error::Disk { path, problem },
        }
    }

    /// `what` of a table; `absent` where there is none of that name.
    fn read<T>(
        &self,
        table: &str,
        absent: T,
        what: impl FnOnce(&Table) -> Result<T, redb::StorageError>,
    ) -> Result<T, Trouble> {
        self.using(|database| {
            let transaction: ReadTransaction = database.begin_read()?;
            match transaction.open_table(definition(table)) {
                Ok(table) => Ok(what(&table)?),
                Err(TableError::TableDoesNotExist(_)) => Ok(absent),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn transact<T>(
        &self,
        what: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Trouble> {
        self.using(|database| {
            let transaction = database.begin_write()?;
            let done = what(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    fn using<T>(
        &self,
        what: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Trouble> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = &*database else {
            return Err(Trouble::Disk("it is not open".to_owned()));
        };
        guarded(|| what(database).map_err(Trouble::from))
    }
}

type Table = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

fn open(path: &Path) -> Result<Database, Trouble> {
    let is_new = !path.exists();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(disk)?;
    }
    let database = guarded(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE);
        let database = builder.create(path)?;
        check_version(&database)?;
        Ok(database)
    })?;
    if is_new {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = fs::File::open(folder.unwrap_or(Path::new(".")));
        folder.and_then(|folder| folder.sync_all()).map_err(disk)?;
    }
    Ok(database)
}

impl Drop for File {
    fn drop(&mut self) {
        let database = self.database.get_mut();
        close(database.unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// What can't be closed in order is open no more, either.
fn close(database: Option<Database>) {
    let _ = guarded(|| {
        drop(database);
        Ok(())
    });
}

fn check_version(database: &Database) -> Result<(), Trouble> {
    let check = || -> Result<Option<u64>, redb::Error> {
        let transaction = database.begin_write()?;
        let mut table = transaction.open_table(FORMAT)?;
        let version = table.get("version")?.map(|version| version.value());
        if version.is_none() {
            table.insert("version", VERSION)?;
        }
        drop(table);
        match version {
            None => transaction.commit()?,
            Some(_) => transaction.abort()?,
        }
        Ok(version)
    };
    match check()? {
        None | Some(VERSION) => Ok(()),
        Some(other) => Err(Trouble::Damaged(format!(
            "it is of version {other}, and this is for version {VERSION}"
        ))),
    }
}

/// A damaged file can lead to a panic in the midst of a look at it.
fn guarded<T>(what: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    match catch_unwind(AssertUnwindSafe(what)) {
        Ok(done) => done,
        Err(_) => Err(Trouble::Damaged("its content makes no sense".to_owned())),
    }
}

fn disk(error: io::Error) -> Trouble {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    match error.kind() {
        InvalidData | UnexpectedEof => {
            Trouble::Damaged("it is no such file, or cut off".to_owned())
        }
        _ => Trouble::Disk(error.to_string()),
    }
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        use redb::Error::{DatabaseAlreadyOpen, DatabaseClosed, Io, LockPoisoned, PreviousIo};
        match error {
            DatabaseAlreadyOpen => Self::Locked,
            Io(error) => disk(error),
            PreviousIo | DatabaseClosed => Self::Disk(error.to_string()),
            LockPoisoned(_) => Self::Disk("a thread that used it has died".to_owned()),
            other => Self::Damaged(other.to_string()),
        }
    }
}
