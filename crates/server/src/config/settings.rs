//! What the rest of the server reads: one typed accessor per directive that some code looks at.
//!
//! An accessor bears its directive's name with underscores, and its unit in its doc. The row is
//! found when this file is compiled: a misspelt name does not build, and a test calls every
//! accessor, so that the type fits the row's kind. Code that needs a value often copies it out of
//! here when a CONFIG SET has changed it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use store::Limits;

use super::Config;
use super::kind::Value;
use super::special::{ClientClass, Notices, OutputLimit, SavePoint};
use super::table;

/// Names that a directive chooses among, as an enum and as the row's list.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($variant),* }

        impl $name {
            pub const NAMES: &[&str] = &[$($text),*];
            const ALL: &[$name] = &[$($name::$variant),*];
        }

        impl<'a> Read<'a> for $name {
            fn read(value: &'a Value) -> Option<Self> {
                match value {
                    Value::Choice(index) => $name::ALL.get(*index).copied(),
                    _ => None,
                }
            }
        }
    };
}

choice! {
    /// How much is logged.
    LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }
}

choice! {
    /// Which keys go when memory is full.
    EvictionPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        NoEviction = "noeviction",
    }
}

impl EvictionPolicy {
    /// Whether keys carry a use counter rather than the time of their last use.
    pub fn counts_uses(self) -> bool {
        matches!(self, Self::VolatileLfu | Self::AllkeysLfu)
    }

    /// Whether dumps tell of the last use of keys, or how often they were used.
    pub fn tells_uses(self) -> bool {
        self.counts_uses() || matches!(self, Self::VolatileLru | Self::AllkeysLru)
    }
}

choice! {
    /// Who waits to hear that the server is ready.
    Supervised {
        Upstart = "upstart",
        Systemd = "systemd",
        Auto = "auto",
        No = "no",
    }
}

choice! {
    /// When the append-only log is made durable: each second, before anything is answered, or when the
    /// system likes.
    Fsync {
        Everysec = "everysec",
        Always = "always",
        No = "no",
    }
}

choice! {
    /// What becomes of a dump's values of modules, which are not here.
    ModuleValues {
        Refuse = "refuse",
        Skip = "skip",
    }
}

choice! {
    /// Which clients may use a dangerous feature.
    Access {
        No = "no",
        Yes = "yes",
        Local = "local",
    }
}

impl Access {
    /// Whether a client may; `local` says that it came over a loopback address or a unix socket.
    pub fn allows(self, local: bool) -> bool {
        match self {
            Access::No => false,
            Access::Yes => true,
            Access::Local => local,
        }
    }
}

choice! {
    /// Whether one client's pipelined commands for several shards may run side by side.
    PipelineOrder {
        Parallel = "parallel",
        Strict = "strict",
    }
}

choice! {
    /// Which commands answer BUSY while a script runs long.
    BusyReplyScope {
        Shard = "shard",
        Server = "server",
    }
}

/// A type that a stored value can be read as.
trait Read<'a>: Sized {
    /// `None` if the value is of another kind.
    fn read(value: &'a Value) -> Option<Self>;
}

impl<'a> Read<'a> for bool {
    fn read(value: &'a Value) -> Option<Self> {
        match value {
            Value::Switch(on) => Some(*on),
            _ => None,
        }
    }
}

macro_rules! read_number {
    ($($type:ty),*) => {$(
        impl<'a> Read<'a> for $type {
            fn read(value: &'a Value) -> Option<Self> {
                match value {
                    Value::Int(number) => (*number).try_into().ok(),
                    Value::Size(number) => (*number).try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

read_number!(u16, u32, i32, i64, u64, usize);

impl<'a> Read<'a> for &'a [u8] {
    fn read(value: &'a Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A text that is absent when empty.
impl<'a> Read<'a> for Option<&'a [u8]> {
    fn read(value: &'a Value) -> Option<Self> {
        let text: &[u8] = Read::read(value)?;
        Some((!text.is_empty()).then_some(text))
    }
}

impl<'a> Read<'a> for &'a Path {
    fn read(value: &'a Value) -> Option<Self> {
        let text: &[u8] = Read::read(value)?;
        Some(Path::new(OsStr::from_bytes(text)))
    }
}

/// A path that is absent when empty.
impl<'a> Read<'a> for Option<&'a Path> {
    fn read(value: &'a Value) -> Option<Self> {
        let path: &Path = Read::read(value)?;
        Some((!path.as_os_str().is_empty()).then_some(path))
    }
}

impl<'a> Read<'a> for &'a [Vec<u8>] {
    fn read(value: &'a Value) -> Option<Self> {
        match value {
            Value::Addresses(list) => Some(list),
            _ => None,
        }
    }
}

impl Read<'_> for Notices {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Events(bits) => Some(Notices::of(*bits)),
            _ => None,
        }
    }
}

/// How a signal ends the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnSignal {
    pub save: bool,
    pub nosave: bool,
    /// Also if saving cannot be begun.
    pub force: bool,
}

impl Read<'_> for OnSignal {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Choices(bits) => Some(OnSignal {
                save: bits & 1 != 0,
                nosave: bits & 1 << 1 != 0,
                force: bits & 1 << 3 != 0,
            }),
            _ => None,
        }
    }
}

impl<'a> Read<'a> for &'a [SavePoint] {
    fn read(value: &'a Value) -> Option<Self> {
        match value {
            Value::SavePoints(points) => Some(points),
            _ => None,
        }
    }
}

impl<'a> Read<'a> for &'a [f64] {
    fn read(value: &'a Value) -> Option<Self> {
        match value {
            Value::Percentiles(list) => Some(list),
            _ => None,
        }
    }
}

impl<'a> Read<'a> for &'a [OutputLimit; 3] {
    fn read(value: &'a Value) -> Option<Self> {
        match value {
            Value::OutputLimits(limits) => Some(limits),
            _ => None,
        }
    }
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $directive:literal;)*) => {
        impl Config {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> $type {
                    const ROW: usize = table::row_of($directive);
                    Read::read(&self.values[ROW]).expect(concat!("the type of ", $directive))
                }
            )*
        }

        /// Names of the directives that have an accessor, each of which is called.
        #[cfg(test)]
        pub(super) fn read_all(config: &Config) -> Vec<&'static str> {
            vec![$({
                let _ = config.$name();
                $directive
            }),*]
        }
    };
}

accessors! {
    /// Addresses to listen on. `*` and `::*` are all of IPv4 and IPv6; behind a `-`, an address
    /// that does not exist here is skipped.
    bind: &[Vec<u8>] = "bind";
    /// 0: no TCP.
    port: u16 = "port";
    unixsocket: Option<&Path> = "unixsocket";
    /// File mode of the unix socket; 0 leaves it as the umask makes it.
    unixsocketperm: u32 = "unixsocketperm";
    unixsocketgroup: Option<&[u8]> = "unixsocketgroup";
    tcp_backlog: i32 = "tcp-backlog";
    /// Seconds; 0: off.
    tcp_keepalive: u32 = "tcp-keepalive";
    /// Seconds that a client may be idle; 0: for ever.
    timeout: u32 = "timeout";
    maxclients: u32 = "maxclients";
    protected_mode: bool = "protected-mode";
    requirepass: Option<&[u8]> = "requirepass";
    enable_protected_configs: Access = "enable-protected-configs";
    enable_debug_command: Access = "enable-debug-command";
    client_output_buffer_limits: &[OutputLimit; 3] = "client-output-buffer-limit";
    /// Bytes.
    client_query_buffer_limit: u64 = "client-query-buffer-limit";
    /// Bytes.
    proto_max_bulk_len: u64 = "proto-max-bulk-len";

    /// 0: one per core.
    shards: usize = "shards";
    pipeline_order: PipelineOrder = "pipeline-order";
    busy_reply_scope: BusyReplyScope = "busy-reply-scope";
    /// Milliseconds that a script may run before others are told; 0: for ever.
    busy_reply_threshold: u64 = "busy-reply-threshold";
    databases: usize = "databases";
    dir: &Path = "dir";
    daemonize: bool = "daemonize";
    pidfile: Option<&Path> = "pidfile";
    supervised: Supervised = "supervised";
    set_proc_title: bool = "set-proc-title";
    proc_title_template: &[u8] = "proc-title-template";
    loglevel: LogLevel = "loglevel";
    /// None: standard output.
    logfile: Option<&Path> = "logfile";
    /// Passes of the periodic work per second.
    hz: u32 = "hz";
    /// 1 to 10.
    active_expire_effort: u32 = "active-expire-effort";

    /// Bytes; 0: no limit.
    maxmemory: u64 = "maxmemory";
    maxmemory_policy: EvictionPolicy = "maxmemory-policy";
    lfu_log_factor: u32 = "lfu-log-factor";
    /// Minutes; 0: the counter never falls.
    lfu_decay_time: u32 = "lfu-decay-time";
    hash_max_listpack_entries: usize = "hash-max-listpack-entries";
    /// Bytes.
    hash_max_listpack_value: usize = "hash-max-listpack-value";
    /// Elements if positive, else one of five sizes.
    list_max_listpack_size: i32 = "list-max-listpack-size";
    list_compress_depth: usize = "list-compress-depth";
    set_max_intset_entries: usize = "set-max-intset-entries";
    set_max_listpack_entries: usize = "set-max-listpack-entries";
    /// Bytes.
    set_max_listpack_value: usize = "set-max-listpack-value";
    zset_max_listpack_entries: usize = "zset-max-listpack-entries";
    /// Bytes.
    zset_max_listpack_value: usize = "zset-max-listpack-value";
    /// Bytes.
    stream_node_max_bytes: usize = "stream-node-max-bytes";
    stream_node_max_entries: usize = "stream-node-max-entries";
    /// Bytes.
    hll_sparse_max_bytes: usize = "hll-sparse-max-bytes";
    shutdown_on_sigint: OnSignal = "shutdown-on-sigint";
    shutdown_on_sigterm: OnSignal = "shutdown-on-sigterm";
    /// When to save without being asked.
    save: &[SavePoint] = "save";
    /// In the working directory.
    dbfilename: &Path = "dbfilename";
    stop_writes_on_bgsave_error: bool = "stop-writes-on-bgsave-error";
    rdbcompression: bool = "rdbcompression";
    module_values: ModuleValues = "module-values";
    appendonly: bool = "appendonly";
    appendfilename: &[u8] = "appendfilename";
    /// In the working directory.
    appenddirname: &Path = "appenddirname";
    appendfsync: Fsync = "appendfsync";
    aof_use_rdb_preamble: bool = "aof-use-rdb-preamble";
    no_appendfsync_on_rewrite: bool = "no-appendfsync-on-rewrite";
    aof_timestamp_enabled: bool = "aof-timestamp-enabled";
    /// 0: never.
    auto_aof_rewrite_percentage: u64 = "auto-aof-rewrite-percentage";
    /// Bytes.
    auto_aof_rewrite_min_size: u64 = "auto-aof-rewrite-min-size";
    aof_load_truncated: bool = "aof-load-truncated";
    /// Microseconds that loading rests after each key, for tests.
    key_load_delay: i64 = "key-load-delay";
    notify_keyspace_events: Notices = "notify-keyspace-events";
    /// Microseconds; 0: everything is logged, negative: nothing.
    slowlog_log_slower_than: i64 = "slowlog-log-slower-than";
    slowlog_max_len: usize = "slowlog-max-len";
    /// Bytes; negative: nothing is logged.
    commandlog_request_larger_than: i64 = "commandlog-request-larger-than";
    commandlog_large_request_max_len: usize = "commandlog-large-request-max-len";
    /// Bytes; negative: nothing is logged.
    commandlog_reply_larger_than: i64 = "commandlog-reply-larger-than";
    commandlog_large_reply_max_len: usize = "commandlog-large-reply-max-len";
    /// Milliseconds; 0: off.
    latency_monitor_threshold: i64 = "latency-monitor-threshold";
    /// Of all shards together; 0: no limit.
    tracking_table_max_keys: usize = "tracking-table-max-keys";
    latency_tracking: bool = "latency-tracking";
    latency_tracking_info_percentiles: &[f64] = "latency-tracking-info-percentiles";
}

impl Config {
    /// When collections leave their packed encodings.
    pub fn limits(&self) -> Limits {
        Limits {
            hash_max_listpack_entries: self.hash_max_listpack_entries(),
            hash_max_listpack_value: self.hash_max_listpack_value(),
            list_max_listpack_size: i64::from(self.list_max_listpack_size()),
            list_compress_depth: self.list_compress_depth(),
            set_max_intset_entries: self.set_max_intset_entries(),
            set_max_listpack_entries: self.set_max_listpack_entries(),
            set_max_listpack_value: self.set_max_listpack_value(),
            zset_max_listpack_entries: self.zset_max_listpack_entries(),
            zset_max_listpack_value: self.zset_max_listpack_value(),
            stream_node_max_bytes: self.stream_node_max_bytes(),
            stream_node_max_entries: self.stream_node_max_entries(),
            hll_sparse_max_bytes: self.hll_sparse_max_bytes(),
        }
    }

    /// The output limit of one class of clients.
    pub fn client_output_buffer_limit(&self, class: ClientClass) -> OutputLimit {
        self.client_output_buffer_limits()[class as usize]
    }
}
