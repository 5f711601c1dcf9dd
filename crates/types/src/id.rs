//! Identities: namespaces.

use core::fmt;

/// The number of a namespace: what tells equal keys of different tenants apart.
///
/// Ids are given once and never used again. The sixteen databases of RESP are the namespaces 0
/// to 15, which always exist; 0 is called `default`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId(pub u16);

impl NamespaceId {
    /// The namespace that requests address when they name none; RESP's database 0.
    pub const DEFAULT: Self = Self(0);
}

impl fmt::Display for NamespaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
