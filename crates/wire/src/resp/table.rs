//! The table of commands: their names, how many words they take, where their keys stand, and what routers and proxies
//! have to know of them.
//!
//! It is data, free of any execution: [`find`] turns a name into a [`CommandId`] that the executor matches on, and
//! `COMMAND` answers from it. Flags, key specifications and tips are those of Redis 7.2 (`commands.def`), which clients
//! route by. A command of a family to come gets its row here and its function there, and nothing else changes.

use core::fmt;

/// The longest name of a command, in bytes.
const NAME_LEN_MAX: usize = 16;

/// A set of properties of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

/// The properties and the words of Redis for them, in the order in which `COMMAND` lists them.
const FLAG_NAMES: [(Flags, &str); 19] = [
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::BLOCKING, "blocking"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::MOVABLE_KEYS, "movablekeys"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::ALLOW_BUSY, "allow_busy"),
    (Flags::DANGEROUS, ""),
    (Flags::ADMIN_CATEGORY, ""),
    (Flags::CONNECTION_CATEGORY, ""),
];

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// It may change what is stored.
    pub const WRITE: Self = Self(1);
    /// It only reads.
    pub const READONLY: Self = Self(1 << 1);
    /// It may need more memory.
    pub const DENYOOM: Self = Self(1 << 2);
    /// It is for administrators.
    pub const ADMIN: Self = Self(1 << 3);
    /// It belongs to publish and subscribe.
    pub const PUBSUB: Self = Self(1 << 4);
    /// Scripts may not use it.
    pub const NOSCRIPT: Self = Self(1 << 5);
    /// It may wait.
    pub const BLOCKING: Self = Self(1 << 6);
    /// It works while data is being loaded.
    pub const LOADING: Self = Self(1 << 7);
    /// It works on a replica that lost its primary.
    pub const STALE: Self = Self(1 << 8);
    /// Monitors do not see it.
    pub const SKIP_MONITOR: Self = Self(1 << 9);
    /// The slow log does not keep it.
    pub const SKIP_SLOWLOG: Self = Self(1 << 10);
    /// Its cost does not grow with the data.
    pub const FAST: Self = Self(1 << 11);
    /// It works before authentication.
    pub const NO_AUTH: Self = Self(1 << 12);
    /// Where its keys stand follows from its arguments.
    pub const MOVABLE_KEYS: Self = Self(1 << 13);
    /// It cannot be queued by `MULTI`.
    pub const NO_MULTI: Self = Self(1 << 14);
    /// It works while a script is running.
    pub const ALLOW_BUSY: Self = Self(1 << 15);
    /// It belongs to the category `@dangerous`; no word in the list of flags.
    pub const DANGEROUS: Self = Self(1 << 16);
    /// It belongs to the category `@admin`, without the flag `ADMIN`; no word in the list of flags.
    pub const ADMIN_CATEGORY: Self = Self(1 << 17);
    /// It belongs to the category `@connection`, whatever its group; no word in the list of flags.
    pub const CONNECTION_CATEGORY: Self = Self(1 << 18);

    /// Those of either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Their words.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAG_NAMES
            .iter()
            .filter(move |(flag, name)| self.has(*flag) && !name.is_empty())
            .map(|(_, name)| *name)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// What a command belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The connection.
    Connection,
    /// Plain values.
    String,
    /// Keys, whatever their values are.
    Generic,
    /// `MULTI` and its relatives.
    Transactions,
    /// The server.
    Server,
}

impl Group {
    /// The word of Redis, as `COMMAND DOCS` gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::String => "string",
            Self::Generic => "generic",
            Self::Transactions => "transactions",
            Self::Server => "server",
        }
    }

    /// The category of access control.
    const fn category(self) -> Option<&'static str> {
        match self {
            Self::Connection => Some("@connection"),
            Self::String => Some("@string"),
            Self::Generic => Some("@keyspace"),
            Self::Transactions => Some("@transaction"),
            Self::Server => None,
        }
    }
}

/// Where keys stand among the words of a command, and what is done with them.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// The word of the first key; the command's name is word 0.
    pub first: usize,
    /// The last key, counted from the first one; negative: from the end of the command, -1 being the last word.
    pub last: i8,
    /// From one key to the next.
    pub step: usize,
    /// What is done with them, in the words of Redis.
    pub access: &'static [&'static str],
    /// What Redis remarks on that.
    pub notes: Option<&'static str>,
}

const fn spec(first: usize, last: i8, step: usize, access: &'static [&'static str]) -> KeySpec {
    KeySpec { first, last, step, access, notes: None }
}

const NO_KEY: &[KeySpec] = &[];
const READ: &[KeySpec] = &[spec(1, 0, 1, &["RO", "access"])];
const LOOK: &[KeySpec] = &[spec(1, 0, 1, &["RO"])];
const READ_ALL: &[KeySpec] = &[spec(1, -1, 1, &["RO", "access"])];
const LOOK_ALL: &[KeySpec] = &[spec(1, -1, 1, &["RO"])];
const LOOK_SECOND: &[KeySpec] = &[spec(2, 0, 1, &["RO"])];
const COPY: &[KeySpec] = &[spec(1, 0, 1, &["RO", "access"]), spec(2, 0, 1, &["OW", "update"])];
const REPLACE: &[KeySpec] = &[spec(1, 0, 1, &["OW", "update"])];
const CREATE: &[KeySpec] = &[spec(1, 0, 1, &["OW", "insert"])];
const SET: &[KeySpec] = &[KeySpec {
    notes: Some("RW and ACCESS due to the optional `GET` argument"),
    ..spec(1, 0, 1, &["RW", "access", "update", "variable_flags"])
}];
const READ_EXPIRE: &[KeySpec] = &[KeySpec {
    notes: Some("RW and UPDATE because it changes the TTL"),
    ..spec(1, 0, 1, &["RW", "access", "update"])
}];
const CHANGE: &[KeySpec] = &[spec(1, 0, 1, &["RW", "access", "update"])];
const UPDATE: &[KeySpec] = &[spec(1, 0, 1, &["RW", "update"])];
const EXTEND: &[KeySpec] = &[spec(1, 0, 1, &["RW", "insert"])];
const TAKE: &[KeySpec] = &[spec(1, 0, 1, &["RW", "access", "delete"])];
const DELETE_ALL: &[KeySpec] = &[spec(1, -1, 1, &["RM", "delete"])];
const REPLACE_PAIRS: &[KeySpec] = &[spec(1, -1, 2, &["OW", "update"])];
const CREATE_PAIRS: &[KeySpec] = &[spec(1, -1, 2, &["OW", "insert"])];
const MOVE: &[KeySpec] =
    &[spec(1, 0, 1, &["RW", "access", "delete"]), spec(2, 0, 1, &["OW", "update"])];
const MOVE_NEW: &[KeySpec] =
    &[spec(1, 0, 1, &["RW", "access", "delete"]), spec(2, 0, 1, &["OW", "insert"])];

const R: Flags = Flags::READONLY;
const W: Flags = Flags::WRITE;
const RF: Flags = R.and(Flags::FAST);
const WF: Flags = W.and(Flags::FAST);
const WM: Flags = W.and(Flags::DENYOOM);
const WMF: Flags = WM.and(Flags::FAST);
const LS: Flags = Flags::LOADING.and(Flags::STALE);
const LSF: Flags = LS.and(Flags::FAST);
const LSC: Flags = LS.and(Flags::CONNECTION_CATEGORY);
/// Before and around everything else: authentication, transactions.
const ANYWHERE: Flags = LSF.and(Flags::NOSCRIPT).and(Flags::ALLOW_BUSY);
const HANDSHAKE: Flags = ANYWHERE.and(Flags::NO_AUTH);
const OWN: Flags = LS.and(Flags::NOSCRIPT);
const ADMIN: Flags = OWN.and(Flags::ADMIN).and(Flags::DANGEROUS);
const DANGER: Flags = Flags::DANGEROUS;

const VOLATILE: &[&str] = &["nondeterministic_output"];
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const BY_SHARD: &[&str] = &["request_policy:multi_shard"];
const BY_SHARD_ALL: &[&str] = &["request_policy:multi_shard", "response_policy:all_succeeded"];
const BY_SHARD_MIN: &[&str] = &["request_policy:multi_shard", "response_policy:agg_min"];
const BY_SHARD_SUM: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const ALL_SHARDS_SUM: &[&str] = &["request_policy:all_shards", "response_policy:agg_sum"];
const ALL_SHARDS_MIN: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];
const KEYS_TIPS: &[&str] = &["request_policy:all_shards", "nondeterministic_output_order"];
const RANDOM_TIPS: &[&str] = &["request_policy:all_shards", "nondeterministic_output"];
const SCAN_TIPS: &[&str] = &["nondeterministic_output", "request_policy:special"];
const INFO_TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];
const CONFIG_TIPS: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// A command, or a subcommand.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// What the executor matches on; a subcommand has its command's.
    pub id: CommandId,
    /// In lower case; a subcommand's as `command|subcommand`.
    pub name: &'static str,
    /// The number of words with the name (and the subcommand); negative: at least so many.
    pub arity: i16,
    /// Its properties.
    pub flags: Flags,
    /// Where its keys stand.
    pub keys: &'static [KeySpec],
    /// What it belongs to.
    pub group: Group,
    /// The version of Redis (or Valkey) that brought it.
    pub since: &'static str,
    /// What routers have to know.
    pub tips: &'static [&'static str],
    /// What it does.
    pub summary: &'static str,
    /// Its subcommands.
    pub subcommands: &'static [Self],
}

impl Command {
    /// Whether a command of `count` words, its name included, has as many as it takes.
    #[must_use]
    pub const fn takes(&self, count: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= arity } else { count == arity }
    }

    /// Whether it may change what is stored.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        self.flags.has(Flags::WRITE)
    }

    /// The words that are keys of a command with `count` words, in order.
    pub fn key_words(&self, count: usize) -> impl Iterator<Item = usize> {
        self.keys.iter().flat_map(move |spec| {
            let last = usize::from(spec.last.unsigned_abs());
            let end = if spec.last < 0 {
                count.saturating_sub(last)
            } else {
                spec.first.saturating_add(last).min(count.saturating_sub(1))
            };
            (spec.first..=end).step_by(spec.step)
        })
    }

    /// Its categories of access control.
    pub fn categories(&self) -> impl Iterator<Item = &'static str> {
        let has = |flag, name| self.flags.has(flag).then_some(name);
        let is_grouped = self.subcommands.is_empty();
        [
            has(Flags::WRITE, "@write"),
            has(Flags::READONLY, "@read"),
            self.group.category().filter(|_| is_grouped),
            has(Flags::ADMIN, "@admin"),
            has(Flags::ADMIN_CATEGORY, "@admin"),
            has(Flags::CONNECTION_CATEGORY, "@connection"),
            has(Flags::DANGEROUS, "@dangerous"),
            Some(if self.flags.has(Flags::FAST) { "@fast" } else { "@slow" }),
        ]
        .into_iter()
        .flatten()
    }

    /// The subcommand of this name, in any case.
    #[must_use]
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Self> {
        self.subcommands.iter().find(|sub| sub.last_name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The place of the subcommand of this name; `u8::MAX` when there is none.
    #[must_use]
    pub fn subcommand_idx(&self, name: &[u8]) -> u8 {
        let mut names = self.subcommands.iter().map(|sub| sub.last_name().as_bytes());
        let idx = names.position(|known| known.eq_ignore_ascii_case(name));
        idx.and_then(|idx| u8::try_from(idx).ok()).unwrap_or(u8::MAX)
    }

    /// The name without that of its command.
    #[must_use]
    pub fn last_name(&self) -> &'static str {
        self.name.rsplit_once('|').map_or(self.name, |(_, last)| last)
    }
}

macro_rules! commands {
    ($($id:ident $name:literal $arity:literal $flags:expr, $keys:expr, $group:ident $since:literal $tips:expr, $summary:literal $subs:expr;)*) => {
        /// What the executor matches on: one per command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum CommandId {
            $(#[doc = concat!("`", $name, "`")] $id,)*
        }

        /// All commands, in the order of [`CommandId`].
        pub const COMMANDS: &[Command] = &[
            $(Command {
                id: CommandId::$id,
                name: $name,
                arity: $arity,
                flags: $flags,
                keys: $keys,
                group: Group::$group,
                since: $since,
                tips: $tips,
                summary: $summary,
                subcommands: $subs,
            },)*
        ];

        /// The names, packed, in the order of [`CommandId`].
        const PACKED: &[u128] = &[$(pack($name.as_bytes()),)*];
        const IDS: &[CommandId] = &[$(CommandId::$id,)*];
    };
}

macro_rules! subcommands {
    ($id:ident $group:ident $($name:literal $arity:literal $flags:expr, $($keys:ident,)? $since:literal $tips:expr, $summary:literal;)*) => {
        &[
            $(Command {
                id: CommandId::$id,
                name: $name,
                arity: $arity,
                flags: $flags,
                keys: subcommands!(@keys $($keys)?),
                group: Group::$group,
                since: $since,
                tips: $tips,
                summary: $summary,
                subcommands: &[],
            },)*
        ]
    };
    (@keys $keys:ident) => { $keys };
    (@keys) => { NO_KEY };
}

const CLIENT: &[Command] = subcommands! { Client Connection
    "client|getname"  2 OWN, "2.6.9" &[], "Returns the name of the connection.";
    "client|help"     2 LS, "5.0.0" &[], "Lists the subcommands.";
    "client|id"       2 OWN, "5.0.0" &[], "Returns the number of the connection.";
    "client|info"     2 OWN, "6.2.0" VOLATILE, "Describes the connection.";
    "client|kill"    -3 ADMIN, "2.4.0" &[], "Closes connections.";
    "client|list"    -2 ADMIN, "2.4.0" VOLATILE, "Lists the open connections.";
    "client|no-evict" 3 ADMIN, "7.0.0" &[], "Accepted: connections are never closed to make room.";
    "client|no-touch" 3 OWN, "7.2.0" &[], "Chooses whether reads of the connection count for eviction.";
    "client|pause"   -3 ADMIN, "3.0.0" &[], "Has commands wait for a time.";
    "client|reply"    3 OWN, "3.2.0" &[], "Chooses whether commands are answered.";
    "client|setinfo"  4 OWN, "7.2.0" &[], "Names the client's library and its version.";
    "client|setname"  3 OWN, "2.6.9" &[], "Names the connection.";
    "client|unblock" -3 ADMIN, "5.0.0" &[], "Ends the wait of a client in a blocking command.";
    "client|unpause"  2 ADMIN, "6.2.0" &[], "Ends a pause.";
};

const COMMAND: &[Command] = subcommands! { Command Server
    "command|count"            2 LSC, "2.8.13" &[], "Returns the number of commands.";
    "command|docs"            -2 LSC, "7.0.0" UNORDERED, "Returns what commands do.";
    "command|getkeys"         -3 LSC, "2.8.13" &[], "Returns the keys among the words of a command.";
    "command|getkeysandflags" -3 LSC, "7.0.0" &[], "Returns the keys among the words of a command, and what is done with them.";
    "command|help"             2 LSC, "5.0.0" &[], "Lists the subcommands.";
    "command|info"            -2 LSC, "2.8.13" UNORDERED, "Returns how commands are called.";
    "command|list"            -2 LSC, "7.0.0" UNORDERED, "Returns the names of the commands.";
};

const CONFIG: &[Command] = subcommands! { Config Server
    "config|get"      -3 ADMIN, "2.0.0" &[], "Returns settings.";
    "config|help"      2 LS, "5.0.0" &[], "Lists the subcommands.";
    "config|resetstat" 2 ADMIN, "2.0.0" &[], "Sets the statistics to zero.";
    "config|set"      -4 ADMIN, "2.0.0" CONFIG_TIPS, "Changes settings.";
};

const OBJECT: &[Command] = subcommands! { Object Generic
    "object|encoding" 3 R, LOOK_SECOND, "2.2.3" VOLATILE, "Returns how Redis would keep a key's value.";
    "object|freq"     3 R, LOOK_SECOND, "4.0.0" VOLATILE, "Returns how often a key was used of late, 0 to 3.";
    "object|help"     2 LS, "6.2.0" &[], "Lists the subcommands.";
    "object|idletime" 3 R, LOOK_SECOND, "2.2.3" VOLATILE, "Fails: when a key was last used is not kept.";
    "object|refcount" 3 R, LOOK_SECOND, "2.2.3" VOLATILE, "Returns 1.";
};

const MEMORY: &[Command] = subcommands! { Memory Server
    "memory|help"   2 LS, "4.0.0" &[], "Lists the subcommands.";
    "memory|usage" -3 R, LOOK_SECOND, "4.0.0" &[], "Returns the bytes that a key and its value take.";
};

commands! {
    Get         "get"          2 RF, READ, String "1.0.0" &[], "Returns the value of a key." &[];
    Set         "set"         -3 WM, SET, String "1.0.0" &[], "Sets the value of a key, with conditions and a time to live." &[];
    MGet        "mget"        -2 RF, READ_ALL, String "1.0.0" BY_SHARD, "Returns the values of keys." &[];
    MSet        "mset"        -3 WM, REPLACE_PAIRS, String "1.0.1" BY_SHARD_ALL, "Sets the values of keys." &[];
    MSetNx      "msetnx"      -3 WM, CREATE_PAIRS, String "1.0.1" BY_SHARD_MIN, "Sets the values of keys if none of them exists." &[];
    SetEx       "setex"        4 WM, REPLACE, String "2.0.0" &[], "Sets value and time to live (seconds) of a key." &[];
    PSetEx      "psetex"       4 WM, REPLACE, String "2.6.0" &[], "Sets value and time to live (milliseconds) of a key." &[];
    SetNx       "setnx"        3 WMF, CREATE, String "1.0.0" &[], "Sets the value of a key if it does not exist." &[];
    GetEx       "getex"       -2 WF, READ_EXPIRE, String "6.2.0" &[], "Returns the value of a key and changes its time to live." &[];
    GetDel      "getdel"       2 WF, TAKE, String "6.2.0" &[], "Returns the value of a key and deletes it." &[];
    GetSet      "getset"       3 WMF, CHANGE, String "1.0.0" &[], "Sets the value of a key and returns the one before." &[];
    DelIfEq     "delifeq"      3 WF, TAKE, String "9.0.0" &[], "Deletes a key if its value is the given one." &[];
    Incr        "incr"         2 WMF, CHANGE, String "1.0.0" &[], "Adds one to a counter." &[];
    Decr        "decr"         2 WMF, CHANGE, String "1.0.0" &[], "Takes one from a counter." &[];
    IncrBy      "incrby"       3 WMF, CHANGE, String "1.0.0" &[], "Adds to a counter." &[];
    DecrBy      "decrby"       3 WMF, CHANGE, String "1.0.0" &[], "Takes from a counter." &[];
    IncrByFloat "incrbyfloat"  3 WMF, CHANGE, String "2.6.0" &[], "Adds to a floating-point number." &[];
    Append      "append"       3 WMF, EXTEND, String "2.0.0" &[], "Appends to a value." &[];
    StrLen      "strlen"       2 RF, LOOK, String "2.2.0" &[], "Returns the length of a value." &[];
    GetRange    "getrange"     4 R, READ, String "2.4.0" &[], "Returns part of a value." &[];
    SubStr      "substr"       4 R, READ, String "1.0.0" &[], "Returns part of a value; the former name of GETRANGE." &[];
    SetRange    "setrange"     4 WM, UPDATE, String "2.2.0" &[], "Overwrites part of a value." &[];
    Del         "del"         -2 W, DELETE_ALL, Generic "1.0.0" BY_SHARD_SUM, "Deletes keys." &[];
    Unlink      "unlink"      -2 WF, DELETE_ALL, Generic "4.0.0" BY_SHARD_SUM, "Deletes keys; their memory is always reclaimed later." &[];
    Exists      "exists"      -2 RF, LOOK_ALL, Generic "1.0.0" BY_SHARD_SUM, "Counts the keys that exist." &[];
    Touch       "touch"       -2 RF, LOOK_ALL, Generic "3.2.1" BY_SHARD_SUM, "Counts the keys that exist, as a use of them." &[];
    Type        "type"         2 RF, LOOK, Generic "1.0.0" &[], "Returns the kind of a key's value." &[];
    Expire      "expire"      -3 WF, UPDATE, Generic "1.0.0" &[], "Sets the time to live of a key in seconds." &[];
    PExpire     "pexpire"     -3 WF, UPDATE, Generic "2.6.0" &[], "Sets the time to live of a key in milliseconds." &[];
    ExpireAt    "expireat"    -3 WF, UPDATE, Generic "1.2.0" &[], "Sets the end of a key in seconds since 1970." &[];
    PExpireAt   "pexpireat"   -3 WF, UPDATE, Generic "2.6.0" &[], "Sets the end of a key in milliseconds since 1970." &[];
    Ttl         "ttl"          2 RF, READ, Generic "1.0.0" VOLATILE, "Returns the time to live of a key in seconds." &[];
    PTtl        "pttl"         2 RF, READ, Generic "2.6.0" VOLATILE, "Returns the time to live of a key in milliseconds." &[];
    ExpireTime  "expiretime"   2 RF, READ, Generic "7.0.0" &[], "Returns the end of a key in seconds since 1970." &[];
    PExpireTime "pexpiretime"  2 RF, READ, Generic "7.0.0" &[], "Returns the end of a key in milliseconds since 1970." &[];
    Persist     "persist"      2 WF, UPDATE, Generic "2.2.0" &[], "Takes the time to live from a key." &[];
    Rename      "rename"       3 W, MOVE, Generic "1.0.0" &[], "Gives a key another name." &[];
    RenameNx    "renamenx"     3 WF, MOVE_NEW, Generic "1.0.0" &[], "Gives a key another name that no key has." &[];
    Copy        "copy"        -3 WM, COPY, Generic "6.2.0" &[], "Copies a key to another name." &[];
    Object      "object"      -2 Flags::NONE, NO_KEY, Generic "2.2.3" &[], "Commands about how a value is kept." OBJECT;
    RandomKey   "randomkey"    1 R, NO_KEY, Generic "1.0.0" RANDOM_TIPS, "Returns some key." &[];
    Scan        "scan"        -2 R, NO_KEY, Generic "2.8.0" SCAN_TIPS, "Lists the keys, a page at a time." &[];
    Keys        "keys"         2 R.and(DANGER), NO_KEY, Generic "1.0.0" KEYS_TIPS, "Lists the keys that match a pattern." &[];
    DbSize      "dbsize"       1 RF, NO_KEY, Generic "1.0.0" ALL_SHARDS_SUM, "Counts the keys of the database." &[];
    FlushDb     "flushdb"     -1 W.and(DANGER), NO_KEY, Generic "1.0.0" ALL_SHARDS, "Deletes all keys of the database." &[];
    FlushAll    "flushall"    -1 W.and(DANGER), NO_KEY, Generic "1.0.0" ALL_SHARDS, "Deletes all keys of all databases." &[];
    Wait        "wait"         3 Flags::NOSCRIPT, NO_KEY, Connection "3.0.0" ALL_SHARDS_MIN, "Returns how many other nodes hold the connection's writes." &[];
    Multi       "multi"        1 ANYWHERE, NO_KEY, Transactions "1.2.0" &[], "Begins a transaction." &[];
    Exec        "exec"         1 OWN.and(Flags::SKIP_SLOWLOG), NO_KEY, Transactions "1.2.0" &[], "Executes a transaction." &[];
    Discard     "discard"      1 ANYWHERE, NO_KEY, Transactions "2.0.0" &[], "Drops a transaction." &[];
    Watch       "watch"       -2 ANYWHERE, LOOK_ALL, Transactions "2.2.0" &[], "Makes the next transaction depend on keys that do not change." &[];
    Unwatch     "unwatch"      1 ANYWHERE, NO_KEY, Transactions "2.2.0" &[], "Forgets the watched keys." &[];
    Ping        "ping"        -1 Flags::FAST, NO_KEY, Connection "1.0.0" ALL_SHARDS, "Answers PONG." &[];
    Echo        "echo"         2 LSF, NO_KEY, Connection "1.0.0" &[], "Answers what it was given." &[];
    Select      "select"       2 LSF, NO_KEY, Connection "1.0.0" &[], "Chooses the database." &[];
    Auth        "auth"        -2 HANDSHAKE, NO_KEY, Connection "1.0.0" &[], "Authenticates the connection." &[];
    Hello       "hello"       -1 HANDSHAKE, NO_KEY, Connection "6.0.0" &[], "Chooses the version of the protocol." &[];
    Reset       "reset"        1 HANDSHAKE, NO_KEY, Connection "6.2.0" &[], "Puts the connection back to its beginning." &[];
    Quit        "quit"        -1 HANDSHAKE, NO_KEY, Connection "1.0.0" &[], "Closes the connection." &[];
    Client      "client"      -2 Flags::NONE, NO_KEY, Connection "2.4.0" &[], "Commands about connections." CLIENT;
    Info        "info"        -1 LS.and(DANGER), NO_KEY, Server "1.0.0" INFO_TIPS, "Returns what the server is and does." &[];
    Time        "time"         1 LSF, NO_KEY, Server "2.6.0" VOLATILE, "Returns the server's time." &[];
    Role        "role"         1 LSF.and(Flags::NOSCRIPT).and(DANGER).and(Flags::ADMIN_CATEGORY), NO_KEY, Server "2.8.12" &[], "Returns the server's role in replication." &[];
    Command     "command"     -1 LSC, NO_KEY, Server "2.8.13" UNORDERED, "Describes the commands." COMMAND;
    Config      "config"      -2 Flags::NONE, NO_KEY, Server "2.0.0" &[], "Commands about settings." CONFIG;
    Memory      "memory"      -2 Flags::NONE, NO_KEY, Server "4.0.0" &[], "Commands about memory." MEMORY;
}

/// The commands whose word 1 is a key, a bit each.
#[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
const KEYED: u128 = {
    let (mut set, mut idx) = (0, 0);
    while idx < COMMANDS.len() {
        if let [spec, ..] = COMMANDS[idx].keys {
            assert!(spec.first == 1, "a command's first key follows its name");
            set |= 1 << idx;
        }
        idx += 1;
    }
    set
};

impl CommandId {
    /// Whether its word 1 is a key.
    #[inline]
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        KEYED >> (self as u32) & 1 == 1
    }

    /// Its row of the table.
    #[inline]
    #[must_use]
    pub fn command(self) -> &'static Command {
        #[expect(clippy::indexing_slicing, reason = "there is a row per id")]
        &COMMANDS[self as usize]
    }
}

/// The rows of the table of names; a power of two.
const ROWS: usize = 256;

/// A name's row is the first free one from its hash on.
#[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
static NAMES: [(u128, u8); ROWS] = {
    let mut rows = [(0, 0); ROWS];
    let mut idx = 0;
    while idx < PACKED.len() {
        let mut row = row_of(PACKED[idx]);
        while rows[row].0 != 0 {
            row = (row + 1) % ROWS;
        }
        rows[row] = (PACKED[idx], IDS[idx] as u8);
        idx += 1;
    }
    rows
};
const _: () = assert!(IDS.len() < ROWS / 2, "most names are found at their first row");

/// A name in lower case as a number: what [`find`] compares. Names are letters; a byte that is none stays none.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "idx is within the name"
)]
const fn pack(name: &[u8]) -> u128 {
    assert!(name.len() <= NAME_LEN_MAX);
    let mut packed = 0;
    let mut idx = 0;
    while idx < name.len() {
        packed = packed << 8 | (name[idx] | 0x20) as u128;
        idx += 1;
    }
    packed
}

#[expect(clippy::cast_possible_truncation, reason = "the hash folds the halves")]
const fn row_of(packed: u128) -> usize {
    let folded = (packed as u64) ^ ((packed >> 64) as u64).rotate_left(32);
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize
}

/// The command of this name, in any case.
#[inline]
#[must_use]
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "rows are masked")]
pub fn find(name: &[u8]) -> Option<CommandId> {
    if name.is_empty() || name.len() > NAME_LEN_MAX {
        return None;
    }
    let packed = pack(name);
    let mut row = row_of(packed);
    loop {
        let (found, idx) = NAMES[row];
        if found == packed {
            return IDS.get(usize::from(idx)).copied();
        }
        if found == 0 {
            return None;
        }
        row = (row + 1) % ROWS;
    }
}
