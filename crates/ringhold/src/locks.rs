//! The locks of the shards: those of `parking_lot`; under `cfg(shuttle)` those of shuttle, so that a test chooses who
//! gets a lock when, and finds out when nobody can.

#[cfg(not(all(test, shuttle)))]
pub(crate) use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

/// Shuttle's lock under `parking_lot`'s interface.
#[cfg(all(test, shuttle))]
#[derive(Debug)]
pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

#[cfg(all(test, shuttle))]
impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().expect("nobody panics with a lock")
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().expect("nobody panics with a lock")
    }

    pub(crate) fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.0.try_write().ok()
    }
}
