//! The bounds that more than one crate relies on.

/// The longest key, in bytes. A longer one is refused (`KeyTooLong`, 413): its length is a `u16` in
/// the store.
pub const KEY_LEN_MAX: usize = 65_535;

/// The number of namespaces that may exist at a time, the sixteen databases among them. One more is
/// refused (409): each costs a directory of half a mebibyte.
pub const NAMESPACES_MAX: usize = 64;

/// The number of RESP databases, which are the namespaces 0 to 15 and always exist.
pub const DATABASES: u16 = 16;

/// The longest value that any configuration may allow, in bytes (`--max-value`).
pub const VALUE_LEN_CEILING: usize = 512 * 1024 * 1024;

/// The longest value by default, in bytes, unless an eighth of the memory is less.
pub const VALUE_LEN_DEFAULT: usize = 8 * 1024 * 1024;

/// The number of nodes that a cluster may have, drained and dead ones that still own slots among them.
/// One more is refused. An index of a node is a `u16`; placement was measured up to 1000.
pub const NODES_MAX: usize = 1024;

/// The most copies of a slot, its primary included, that a cluster may be told to keep.
pub const REPLICAS_MAX: u8 = 8;

/// The longest name of a node, in bytes: a host name (253) fits. A longer one, or none, is refused.
pub const NODE_NAME_LEN_MAX: usize = 255;

/// The longest name of a zone, in bytes. A longer one is refused.
pub const ZONE_LEN_MAX: usize = 64;

const _: () = assert!(VALUE_LEN_DEFAULT <= VALUE_LEN_CEILING, "the default is allowed");
const _: () = assert!((DATABASES as usize) < NAMESPACES_MAX, "databases are namespaces");
