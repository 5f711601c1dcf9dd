//! The namespaces of a node: the sixteen databases, which always exist, and those that were made.
//!
//! A namespace is a name, a number that is given once, and settings. Its entries are in the shards, under the number;
//! [`configure`] tells the shards what the settings are.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use ringhold_store::entry::UpdateError;
use ringhold_types::id::NamespaceId;
use ringhold_types::limits::{DATABASES, NAMESPACES_MAX};
use ringhold_types::time::{Duration, Now};
use ringhold_wire::http::decode::database;

use crate::cells::{Cells, with_room};

/// The most bytes of a namespace's name.
pub const NAME_LEN_MAX: usize = 64;

/// What can be set of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What its entries may take of the node's memory, in bytes; `None`: all of it.
    pub quota: Option<u64>,
    /// The time to live of an entry whose write names none; `None`: it has no end.
    pub default_ttl: Option<Duration>,
    /// Whether its entries may be evicted to make room.
    pub is_evicted: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { quota: None, default_ttl: None, is_evicted: true }
    }
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its number.
    pub id: NamespaceId,
    /// Its name: 1 to [`NAME_LEN_MAX`] lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Its settings.
    pub terms: Terms,
}

/// Why a namespace cannot be made or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceError {
    /// The name is none that a namespace can have.
    BadName,
    /// There are [`NAMESPACES_MAX`] already.
    TooMany,
    /// The numbers are used up: 65,520 namespaces were made since the node started.
    NoNumber,
    /// There is none of this name.
    Missing,
    /// A database is never deleted.
    Database,
}

/// The namespaces of a node.
#[derive(Debug)]
pub struct Namespaces {
    /// In the order of their numbers; the databases first.
    rows: RwLock<Vec<Namespace>>,
    /// The default times to live of the databases, in milliseconds; 0: none. Also in `rows`; here no lock is taken.
    database_ttl_ms: [AtomicU64; DATABASES as usize],
    /// The number that was given last.
    last: AtomicU64,
    /// Whether a namespace was ever deleted, so that shards may hold some of it.
    has_gone: AtomicBool,
}

impl Default for Namespaces {
    fn default() -> Self {
        let name = |number| if number == 0 { "default".to_owned() } else { format!("db{number}") };
        let row = |number| Namespace {
            id: NamespaceId(number),
            name: name(number),
            terms: Terms::default(),
        };
        Self {
            rows: RwLock::new((0..DATABASES).map(row).collect()),
            database_ttl_ms: [const { AtomicU64::new(0) }; DATABASES as usize],
            last: AtomicU64::new(u64::from(DATABASES) - 1),
            has_gone: AtomicBool::new(false),
        }
    }
}

impl Namespaces {
    fn rows(&self) -> RwLockReadGuard<'_, Vec<Namespace>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the namespace of this name.
    #[must_use]
    pub fn id_of(&self, name: &str) -> Option<NamespaceId> {
        database(name).or_else(|| self.get(name).map(|row| row.id))
    }

    /// The namespace of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Namespace> {
        self.rows().iter().find(|row| row.name == name).cloned()
    }

    /// All namespaces, the databases first.
    #[must_use]
    pub fn all(&self) -> Vec<Namespace> {
        self.rows().clone()
    }

    /// Whether a namespace has this number.
    #[must_use]
    pub fn has(&self, id: NamespaceId) -> bool {
        id.0 < DATABASES || self.rows().iter().any(|row| row.id == id)
    }

    /// Whether a namespace was ever deleted.
    #[inline]
    #[must_use]
    pub fn has_gone(&self) -> bool {
        self.has_gone.load(Ordering::Relaxed)
    }

    /// The time to live of an entry of this namespace whose write names none.
    #[inline]
    #[must_use]
    pub fn default_ttl(&self, id: NamespaceId) -> Option<Duration> {
        if let Some(millis) = self.database_ttl_ms.get(usize::from(id.0)) {
            let millis = millis.load(Ordering::Relaxed);
            return (millis > 0).then(|| Duration::from_millis(millis));
        }
        self.rows().iter().find(|row| row.id == id).and_then(|row| row.terms.default_ttl)
    }

    /// Makes a namespace or replaces the settings of one; whether it was made.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::BadName`], [`NamespaceError::TooMany`], [`NamespaceError::NoNumber`]
    pub fn put(&self, name: &str, terms: Terms) -> Result<(Namespace, bool), NamespaceError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.iter_mut().find(|row| row.name == name) {
            row.terms = terms;
            if let Some(millis) = self.database_ttl_ms.get(usize::from(row.id.0)) {
                let ttl = terms.default_ttl.unwrap_or_default();
                millis.store(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            return Ok((row.clone(), false));
        }
        if !is_name(name) {
            return Err(NamespaceError::BadName);
        }
        if rows.len() >= NAMESPACES_MAX {
            return Err(NamespaceError::TooMany);
        }
        let number = u16::try_from(self.last.load(Ordering::Relaxed) + 1);
        let id = NamespaceId(number.map_err(|_| NamespaceError::NoNumber)?);
        self.last.store(u64::from(id.0), Ordering::Relaxed);
        let row = Namespace { id, name: name.to_owned(), terms };
        rows.push(row.clone());
        Ok((row, true))
    }

    /// Says whether entries of a namespace may be evicted, whatever its other settings are; as it is now. `None`: there is
    /// none, or it was said already.
    pub fn set_evicted(&self, id: NamespaceId, is_evicted: bool) -> Option<Namespace> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let row = rows.iter_mut().find(|row| row.id == id && row.terms.is_evicted != is_evicted)?;
        row.terms.is_evicted = is_evicted;
        Some(row.clone())
    }

    /// Forgets a namespace; its number, under which the shards have its entries until they are told.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Database`], [`NamespaceError::Missing`]
    pub fn remove(&self, name: &str) -> Result<NamespaceId, NamespaceError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let at = rows.iter().position(|row| row.name == name).ok_or(NamespaceError::Missing)?;
        if rows[at].id.0 < DATABASES {
            return Err(NamespaceError::Database);
        }
        self.has_gone.store(true, Ordering::Relaxed);
        Ok(rows.remove(at).id)
    }
}

fn is_name(name: &str) -> bool {
    let is_good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(is_good)
        && !matches!(name, "." | "..")
}

/// Tells every shard what a namespace may take. Whether all of them are within it: while they are not, call again.
///
/// # Errors
///
/// [`UpdateError`]: there is no room for its bookkeeping; some shards may have been told.
pub fn configure<C: Cells>(
    cells: &C,
    namespace: &Namespace,
    now: Now,
) -> Result<bool, UpdateError> {
    let shards = u64::try_from(cells.count()).unwrap_or(u64::MAX);
    let quota = namespace.terms.quota.map(|quota| quota / shards);
    let mut is_within = true;
    for idx in 0..cells.count() {
        let mut cell = cells.write(idx);
        is_within &= with_room(cells, &mut cell, now, |cell| {
            cell.configure(namespace.id, quota, namespace.terms.is_evicted, now)
        })?;
    }
    Ok(is_within)
}

/// Takes everything of a namespace that is gone out of every shard.
pub fn drop_from<C: Cells>(cells: &C, id: NamespaceId) {
    for idx in 0..cells.count() {
        cells.write(idx).drop_namespace(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_made_changed_and_gone_and_numbers_are_given_once() {
        let all = Namespaces::default();
        assert_eq!(all.id_of("default"), Some(NamespaceId(0)));
        assert_eq!((all.id_of("db15"), all.id_of("db16")), (Some(NamespaceId(15)), None));
        let ttl = Some(Duration::from_secs(5));
        let terms = Terms { default_ttl: ttl, ..Terms::default() };
        let (made, is_new) = all.put("tenant", terms).expect("there is room");
        assert!(is_new && made.id == NamespaceId(16) && all.default_ttl(made.id) == ttl);
        let (changed, is_new) = all.put("tenant", Terms::default()).expect("it is there");
        assert!(!is_new && changed.id == made.id && all.default_ttl(made.id).is_none());
        all.put("db3", terms).expect("it is there");
        assert_eq!(all.default_ttl(NamespaceId(3)), ttl);
        for name in ["", "Tenant", "a/b", "..", &"x".repeat(65)] {
            assert_eq!(all.put(name, terms), Err(NamespaceError::BadName), "{name}");
        }
        let changed = all.set_evicted(NamespaceId(3), false).expect("it was evicted");
        assert_eq!(changed.terms, Terms { is_evicted: false, ..terms }, "and nothing else");
        assert_eq!(all.set_evicted(NamespaceId(3), false), None);
        assert_eq!(all.remove("db3"), Err(NamespaceError::Database));
        assert_eq!(all.remove("tenant"), Ok(made.id));
        assert_eq!(all.remove("tenant"), Err(NamespaceError::Missing));
        assert!(!all.has(made.id) && all.has_gone());
        let (again, _) = all.put("tenant", terms).expect("there is room");
        assert_eq!(again.id, NamespaceId(17));
        let refused = (0..100).find_map(|n| all.put(&format!("n{n}"), terms).err());
        assert_eq!(refused, Some(NamespaceError::TooMany));
    }
}
