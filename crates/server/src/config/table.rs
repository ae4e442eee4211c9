//! Every directive: its name, kind, default, when it may change, and whether Shoal acts on it.
//!
//! The names are those of Redis 7.0, Redis 8.0 and Valkey 9.1 together, and a few of our own; the
//! defaults are those of Redis 8.0. To make a directive take effect, write its accessor in
//! [`super::settings`], use it, and turn its last column into `Supported`: a test holds both
//! together.

use super::kind::Empty;
use super::kind::Kind::{self, *};
use super::kind::MAX_SIZE;
use super::settings::{
    Access, BusyReplyScope, EvictionPolicy, Fsync, LogLevel, ModuleValues, PipelineOrder,
    Supervised,
};
use super::special;

/// One row of the table.
#[derive(Debug)]
pub struct Directive {
    pub name: &'static str,
    /// A second name, for reading and for CONFIG GET; never written.
    pub alias: Option<&'static str>,
    pub kind: Kind,
    /// As a file would have it.
    pub default: &'static str,
    pub change: Change,
    pub support: Support,
    /// Shown by CONFIG GET only for its exact name.
    pub hidden: bool,
    /// The value is a secret, and must not reach the log.
    pub sensitive: bool,
}

/// When a directive may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Anytime,
    /// At run time only where `enable-protected-configs` allows it.
    Guarded,
    /// Only in a file or on the command line.
    AtStart,
}

/// Whether Shoal acts on a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Supported,
    /// Read, checked, stored and shown, but nothing follows from it, for the reason given.
    NoEffect(&'static str),
}

use Change::{Anytime, AtStart, Guarded};
use Support::{NoEffect, Supported};

const fn d(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    change: Change,
    support: Support,
) -> Directive {
    Directive {
        name,
        alias: None,
        kind,
        default,
        change,
        support,
        hidden: false,
        sensitive: false,
    }
}

impl Directive {
    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// The log line for a value other than the default, if it has no effect.
    pub fn notice(&self) -> Option<String> {
        match self.support {
            Supported => None,
            NoEffect(why) => Some(format!("'{}' has no effect here: {why}", self.name)),
        }
    }
}

const I32: i64 = i32::MAX as i64;
const I64: i64 = i64::MAX;
const U32: i64 = u32::MAX as i64;

const fn int(min: i64, max: i64) -> Kind {
    Int { min, max }
}

const COUNT: Kind = int(0, I64);
const NUMBER: Kind = int(0, I32);
const PORT: Kind = int(0, 65535);
const BYTES: Kind = bytes_from(0);
const ANY_BYTES: Kind = Size {
    min: 0,
    max: u64::MAX,
};

const fn bytes_from(min: u64) -> Kind {
    Size { min, max: MAX_SIZE }
}

const TEXT: Kind = Text {
    check: special::any_text,
    empty: Empty::Unset,
};
const KEPT_TEXT: Kind = Text {
    check: special::any_text,
    empty: Empty::Kept,
};
const ACCESS: Kind = Choice(Access::NAMES);
const SIGNALS: Kind = Choices(&["default", "save", "nosave", "now", "force"]);

macro_rules! checked {
    ($check:path) => {
        Text {
            check: $check,
            empty: Empty::Unset,
        }
    };
    ($check:path, kept) => {
        Text {
            check: $check,
            empty: Empty::Kept,
        }
    };
}

const ACL: Support = NoEffect("there are no ACL users yet, only requirepass");
const ALWAYS_SLICED: Support = NoEffect("memory is always freed in small slices");
const CLUSTER: Support = NoEffect("cluster mode is not there yet");
const COMPRESSION: Support = NoEffect("no chunk of a list is compressed");
const CRASHES: Support = NoEffect("a crash always writes its report and never tests memory");
const DEBUGGING: Support = NoEffect("it is for debugging Redis itself");
const DEFRAG: Support = NoEffect("memory is not defragmented");
const EVICTION: Support = NoEffect("keys are not evicted yet");
const LOG_FORMAT: Support = NoEffect("log lines always have Redis's format");
const MODULES: Support = NoEffect("there are no modules");
const MPTCP: Support = NoEffect("there is no MPTCP");
const OOM_SCORE: Support = NoEffect("Shoal leaves its OOM score alone");
const CLEARED: Support = NoEffect("what the append-only log does not need any more is deleted");
const VALIDATED: Support = NoEffect("dumps and payloads are always validated in full");
const SYNCED: Support = NoEffect("files are synced as they grow");
const PINNING: Support =
    NoEffect("threads run where the scheduler puts them: see taskset and CPUAffinity=");
const RDMA: Support = NoEffect("there is no RDMA");
const REPLICATION: Support = NoEffect("replication is not there yet");
const OLD_LUA: Support = NoEffect("functions that Redis has deprecated are not there");
const SYSLOG: Support = NoEffect("logs go to the logfile or to standard output");
const THREADS: Support = NoEffect("Shoal runs one thread per shard: see 'shards'");
const TLS: Support = NoEffect("TLS is not there yet");

/// All directives. A row per line, so that it reads as a table.
#[rustfmt::skip]
pub static DIRECTIVES: &[Directive] = &[
    // Network.
    d("bind", Addresses, "* -::*", Anytime, Supported),
    d("port", PORT, "6379", Anytime, Supported),
    d("unixsocket", TEXT, "", AtStart, Supported),
    d("unixsocketperm", Octal { max: 0o777 }, "0", AtStart, Supported),
    d("unixsocketgroup", TEXT, "", AtStart, Supported),
    d("tcp-backlog", NUMBER, "511", AtStart, Supported),
    d("tcp-keepalive", NUMBER, "300", Anytime, Supported),
    d("timeout", NUMBER, "0", Anytime, Supported),
    d("maxclients", int(1, U32), "10000", Anytime, Supported),
    d("protected-mode", Switch, "yes", Anytime, Supported),
    d("bind-source-addr", TEXT, "", Anytime, REPLICATION),
    d("socket-mark-id", int(0, U32), "0", AtStart, NoEffect("sockets are not marked")),
    d("max-new-connections-per-cycle", int(1, 1000), "10", Anytime, NoEffect("the event loop bounds its passes itself")),
    d("mptcp", Switch, "no", AtStart, MPTCP),

    // Access.
    d("requirepass", TEXT, "", Anytime, Supported).sensitive(),
    d("enable-protected-configs", ACCESS, "no", AtStart, Supported),
    d("enable-debug-command", ACCESS, "no", AtStart, Supported),
    d("enable-module-command", ACCESS, "no", AtStart, MODULES),
    d("aclfile", KEPT_TEXT, "", AtStart, ACL),
    d("acllog-max-len", COUNT, "128", Anytime, ACL),
    d("acl-pubsub-default", Choice(&["allchannels", "resetchannels"]), "resetchannels", Anytime, ACL),

    // Clients.
    d("client-output-buffer-limit", OutputLimits, "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", Anytime, Supported),
    d("client-query-buffer-limit", bytes_from(1 << 20), "1073741824", Anytime, Supported),
    d("proto-max-bulk-len", bytes_from(1 << 20), "536870912", Anytime, Supported),
    d("maxmemory-clients", SizeOrPercent, "0", Anytime, NoEffect("clients are not evicted yet")),
    d("tracking-table-max-keys", COUNT, "1000000", Anytime, Supported),

    // Shards and threads.
    d("shards", int(0, 1024), "0", AtStart, Supported),
    d("pipeline-order", Choice(PipelineOrder::NAMES), "parallel", Anytime, Supported),
    d("busy-reply-scope", Choice(BusyReplyScope::NAMES), "shard", Anytime, Supported),
    d("io-threads", int(1, 128), "1", AtStart, THREADS),
    d("io-threads-do-reads", Switch, "no", AtStart, THREADS),
    d("prefetch-batch-max-size", int(0, 128), "16", Anytime, NoEffect("every batch is prefetched")),
    d("server-cpulist", TEXT, "", AtStart, PINNING).alias("server_cpulist"),
    d("bio-cpulist", TEXT, "", AtStart, PINNING).alias("bio_cpulist"),
    d("aof-rewrite-cpulist", TEXT, "", AtStart, PINNING).alias("aof_rewrite_cpulist"),
    d("bgsave-cpulist", TEXT, "", AtStart, PINNING).alias("bgsave_cpulist"),

    // Process.
    d("databases", int(1, I32), "16", AtStart, Supported),
    d("dir", KEPT_TEXT, ".", Guarded, Supported),
    d("daemonize", Switch, "no", AtStart, Supported),
    d("pidfile", TEXT, "", AtStart, Supported),
    d("supervised", Choice(Supervised::NAMES), "no", AtStart, Supported),
    d("set-proc-title", Switch, "yes", AtStart, Supported),
    d("proc-title-template", checked!(special::title_template, kept), "{title} {listen-addr} {server-mode}", Anytime, Supported),
    d("hz", Hertz, "10", Anytime, Supported),
    d("dynamic-hz", Switch, "yes", Anytime, NoEffect("the periodic work does not grow with the clients")),
    d("shutdown-timeout", NUMBER, "10", Anytime, REPLICATION),
    d("shutdown-on-sigint", SIGNALS, "default", Anytime, Supported),
    d("shutdown-on-sigterm", SIGNALS, "default", Anytime, Supported),
    d("disable-thp", Switch, "yes", AtStart, NoEffect("there is no fork that huge pages could slow down")),
    d("oom-score-adj", Choice(&["no", "yes", "relative", "absolute"]), "no", Anytime, OOM_SCORE),
    d("oom-score-adj-values", OomScores, "0 200 800", Anytime, OOM_SCORE),
    d("locale-collate", KEPT_TEXT, "", Anytime, NoEffect("SORT is not there yet")),
    d("ignore-warnings", KEPT_TEXT, "", Anytime, NoEffect("the start makes no check that it could silence")),
    d("hash-seed", TEXT, "", AtStart, NoEffect("every start draws its own seed")),
    d("availability-zone", KEPT_TEXT, "", Anytime, NoEffect("it is not reported to clients")),
    d("extended-redis-compatibility", Switch, "no", Anytime, NoEffect("clients see Redis's name and version anyway")),
    d("import-mode", Switch, "no", Anytime, NoEffect("there is no import mode")),

    // Log.
    d("loglevel", Choice(LogLevel::NAMES), "notice", Anytime, Supported),
    d("logfile", KEPT_TEXT, "", AtStart, Supported),
    d("log-format", Choice(&["legacy", "logfmt", "json"]), "legacy", Anytime, LOG_FORMAT),
    d("log-timestamp-format", Choice(&["legacy", "iso8601", "milliseconds"]), "legacy", Anytime, LOG_FORMAT),
    d("hide-user-data-from-log", Switch, "no", Anytime, NoEffect("keys and values are never logged")),
    d("always-show-logo", Switch, "no", AtStart, NoEffect("there is no logo")),
    d("syslog-enabled", Switch, "no", AtStart, SYSLOG),
    d("syslog-ident", KEPT_TEXT, "redis", AtStart, SYSLOG),
    d("syslog-facility", Choice(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]), "local0", AtStart, SYSLOG),
    d("crash-log-enabled", Switch, "yes", Anytime, CRASHES),
    d("crash-memcheck-enabled", Switch, "yes", Anytime, CRASHES),

    // Memory.
    d("maxmemory", ANY_BYTES, "0", Anytime, EVICTION),
    d("maxmemory-policy", Choice(EvictionPolicy::NAMES), "noeviction", Anytime, Supported),
    d("maxmemory-samples", int(1, 64), "5", Anytime, EVICTION),
    d("maxmemory-eviction-tenacity", int(0, 100), "10", Anytime, EVICTION),
    d("lfu-log-factor", NUMBER, "10", Anytime, Supported),
    d("lfu-decay-time", NUMBER, "1", Anytime, Supported),
    d("active-expire-effort", int(1, 10), "1", Anytime, Supported),
    d("lazyfree-lazy-eviction", Switch, "no", Anytime, ALWAYS_SLICED),
    d("lazyfree-lazy-expire", Switch, "no", Anytime, ALWAYS_SLICED),
    d("lazyfree-lazy-server-del", Switch, "no", Anytime, ALWAYS_SLICED),
    d("lazyfree-lazy-user-del", Switch, "no", Anytime, ALWAYS_SLICED),
    d("lazyfree-lazy-user-flush", Switch, "no", Anytime, ALWAYS_SLICED),
    d("activerehashing", Switch, "yes", Anytime, NoEffect("the table grows bucket by bucket and is never rehashed")),
    d("activedefrag", Switch, "no", Anytime, DEFRAG),
    d("active-defrag-ignore-bytes", bytes_from(1), "104857600", Anytime, DEFRAG),
    d("active-defrag-threshold-lower", int(0, 1000), "10", Anytime, DEFRAG),
    d("active-defrag-threshold-upper", int(0, 1000), "100", Anytime, DEFRAG),
    d("active-defrag-cycle-min", int(1, 99), "1", Anytime, DEFRAG),
    d("active-defrag-cycle-max", int(1, 99), "25", Anytime, DEFRAG),
    d("active-defrag-cycle-us", int(0, 100_000), "500", Anytime, DEFRAG),
    d("active-defrag-max-scan-fields", int(1, I64), "1000", Anytime, DEFRAG),
    d("jemalloc-bg-thread", Switch, "yes", Anytime, NoEffect("the allocator needs no thread of its own")),

    // Data types.
    d("hash-max-listpack-entries", COUNT, "512", Anytime, Supported).alias("hash-max-ziplist-entries"),
    d("hash-max-listpack-value", BYTES, "64", Anytime, Supported).alias("hash-max-ziplist-value"),
    d("list-max-listpack-size", int(i32::MIN as i64, I32), "-2", Anytime, Supported).alias("list-max-ziplist-size"),
    d("list-compress-depth", NUMBER, "0", Anytime, COMPRESSION),
    d("set-max-intset-entries", COUNT, "512", Anytime, Supported),
    d("set-max-listpack-entries", COUNT, "128", Anytime, Supported),
    d("set-max-listpack-value", COUNT, "64", Anytime, Supported),
    d("zset-max-listpack-entries", COUNT, "128", Anytime, Supported).alias("zset-max-ziplist-entries"),
    d("zset-max-listpack-value", BYTES, "64", Anytime, Supported).alias("zset-max-ziplist-value"),
    d("hll-sparse-max-bytes", BYTES, "3000", Anytime, Supported),
    d("stream-node-max-bytes", BYTES, "4096", Anytime, Supported),
    d("stream-node-max-entries", COUNT, "100", Anytime, Supported),

    // Watching the server.
    d("latency-tracking", Switch, "yes", Anytime, Supported),
    d("latency-tracking-info-percentiles", Percentiles, "50 99 99.9", Anytime, Supported),
    d("latency-monitor-threshold", COUNT, "0", Anytime, Supported),
    d("slowlog-log-slower-than", int(-1, I64), "10000", Anytime, Supported).alias("commandlog-execution-slower-than"),
    d("slowlog-max-len", COUNT, "128", Anytime, Supported).alias("commandlog-slow-execution-max-len"),
    d("commandlog-request-larger-than", int(-1, I64), "1048576", Anytime, Supported),
    d("commandlog-large-request-max-len", COUNT, "128", Anytime, Supported),
    d("commandlog-reply-larger-than", int(-1, I64), "1048576", Anytime, Supported),
    d("commandlog-large-reply-max-len", COUNT, "128", Anytime, Supported),
    d("notify-keyspace-events", Kind::Events, "", Anytime, Supported),

    // Scripts.
    d("busy-reply-threshold", COUNT, "5000", Anytime, Supported).alias("lua-time-limit"),
    d("lua-enable-deprecated-api", Switch, "no", AtStart, OLD_LUA).hidden(),

    // Persistence.
    d("save", SavePoints, "3600 1 300 100 60 10000", Anytime, Supported),
    d("dbfilename", checked!(special::dump_file_name, kept), "dump.rdb", Guarded, Supported),
    d("stop-writes-on-bgsave-error", Switch, "yes", Anytime, Supported),
    d("rdbcompression", Switch, "yes", Anytime, Supported),
    d("module-values", Choice(ModuleValues::NAMES), "refuse", Anytime, Supported),
    d("rdbchecksum", Switch, "yes", AtStart, NoEffect("dumps are always summed up and checked")),
    d("rdb-version-check", Choice(&["strict", "relaxed"]), "strict", Anytime, NoEffect("dumps of unknown versions are always refused")),
    d("rdb-save-incremental-fsync", Switch, "yes", Anytime, NoEffect("dumps are always synced as they grow")),
    d("rdb-del-sync-files", Switch, "no", Anytime, REPLICATION),
    d("sanitize-dump-payload", Choice(&["no", "yes", "clients"]), "no", Anytime, VALIDATED),
    d("appendonly", Switch, "no", Anytime, Supported),
    d("appendfilename", checked!(special::append_file_name, kept), "appendonly.aof", AtStart, Supported),
    d("appenddirname", checked!(special::append_dir_name, kept), "appendonlydir", AtStart, Supported),
    d("appendfsync", Choice(Fsync::NAMES), "everysec", Anytime, Supported),
    d("no-appendfsync-on-rewrite", Switch, "no", Anytime, Supported),
    d("auto-aof-rewrite-percentage", NUMBER, "100", Anytime, Supported),
    d("auto-aof-rewrite-min-size", BYTES, "67108864", Anytime, Supported),
    d("aof-load-truncated", Switch, "yes", Anytime, Supported),
    d("aof-use-rdb-preamble", Switch, "yes", Anytime, Supported),
    d("aof-timestamp-enabled", Switch, "no", Anytime, Supported),
    d("aof-rewrite-incremental-fsync", Switch, "yes", Anytime, SYNCED),
    d("aof-disable-auto-gc", Switch, "no", Anytime, CLEARED),

    // Replication.
    d("replicaof", Primary, "no one", AtStart, REPLICATION).alias("slaveof"),
    d("masterauth", TEXT, "", Anytime, REPLICATION).alias("primaryauth").sensitive(),
    d("masteruser", TEXT, "", Anytime, REPLICATION).alias("primaryuser").sensitive(),
    d("replica-serve-stale-data", Switch, "yes", Anytime, REPLICATION).alias("slave-serve-stale-data"),
    d("replica-read-only", Switch, "yes", Anytime, REPLICATION).alias("slave-read-only"),
    d("replica-lazy-flush", Switch, "no", Anytime, REPLICATION).alias("slave-lazy-flush"),
    d("replica-priority", NUMBER, "100", Anytime, REPLICATION).alias("slave-priority"),
    d("replica-announced", Switch, "yes", Anytime, REPLICATION),
    d("replica-announce-ip", TEXT, "", Anytime, REPLICATION).alias("slave-announce-ip"),
    d("replica-announce-port", PORT, "0", Anytime, REPLICATION).alias("slave-announce-port"),
    d("replica-ignore-maxmemory", Switch, "yes", Anytime, REPLICATION).alias("slave-ignore-maxmemory"),
    d("replica-ignore-disk-write-errors", Switch, "no", Anytime, REPLICATION),
    d("replica-full-sync-buffer-limit", BYTES, "0", Anytime, REPLICATION),
    d("repl-backlog-size", bytes_from(1), "1048576", Anytime, REPLICATION),
    d("repl-backlog-ttl", COUNT, "3600", Anytime, REPLICATION),
    d("repl-disable-tcp-nodelay", Switch, "no", Anytime, REPLICATION),
    d("repl-diskless-load", Choice(&["disabled", "on-empty-db", "swapdb"]), "disabled", Anytime, REPLICATION),
    d("repl-diskless-sync", Switch, "yes", Anytime, REPLICATION),
    d("repl-diskless-sync-delay", NUMBER, "5", Anytime, REPLICATION),
    d("repl-diskless-sync-max-replicas", NUMBER, "0", Anytime, REPLICATION),
    d("repl-ping-replica-period", int(1, I32), "10", Anytime, REPLICATION).alias("repl-ping-slave-period"),
    d("repl-timeout", int(1, I32), "60", Anytime, REPLICATION),
    d("repl-rdb-channel", Switch, "yes", Anytime, REPLICATION).hidden(),
    d("repl-mptcp", Switch, "no", AtStart, MPTCP),
    d("dual-channel-replication-enabled", Switch, "no", Anytime, REPLICATION),
    d("min-replicas-to-write", NUMBER, "0", Anytime, REPLICATION).alias("min-slaves-to-write"),
    d("min-replicas-max-lag", NUMBER, "10", Anytime, REPLICATION).alias("min-slaves-max-lag"),
    d("propagation-error-behavior", Choice(&["ignore", "panic", "panic-on-replicas"]), "ignore", Anytime, REPLICATION),

    // Cluster.
    d("cluster-enabled", Switch, "no", AtStart, CLUSTER),
    d("cluster-config-file", KEPT_TEXT, "nodes.conf", AtStart, CLUSTER),
    d("cluster-config-save-behavior", Choice(&["sync", "best-effort"]), "sync", Anytime, CLUSTER),
    d("cluster-port", PORT, "0", AtStart, CLUSTER),
    d("cluster-databases", int(1, I32), "1", AtStart, CLUSTER),
    d("cluster-node-timeout", COUNT, "15000", Anytime, CLUSTER),
    d("cluster-migration-barrier", NUMBER, "1", Anytime, CLUSTER),
    d("cluster-allow-replica-migration", Switch, "yes", Anytime, CLUSTER),
    d("cluster-replica-validity-factor", NUMBER, "10", Anytime, CLUSTER).alias("cluster-slave-validity-factor"),
    d("cluster-replica-no-failover", Switch, "no", Anytime, CLUSTER).alias("cluster-slave-no-failover"),
    d("cluster-require-full-coverage", Switch, "yes", Anytime, CLUSTER),
    d("cluster-allow-reads-when-down", Switch, "no", Anytime, CLUSTER),
    d("cluster-allow-pubsubshard-when-down", Switch, "yes", Anytime, CLUSTER),
    d("cluster-link-sendbuf-limit", ANY_BYTES, "0", Anytime, CLUSTER),
    d("cluster-announce-ip", TEXT, "", Anytime, CLUSTER),
    d("cluster-announce-port", PORT, "0", Anytime, CLUSTER),
    d("cluster-announce-bus-port", PORT, "0", Anytime, CLUSTER),
    d("cluster-announce-tls-port", PORT, "0", Anytime, CLUSTER),
    d("cluster-announce-hostname", checked!(special::host_name), "", Anytime, CLUSTER),
    d("cluster-announce-human-nodename", checked!(special::node_name), "", Anytime, CLUSTER),
    d("cluster-announce-client-ipv4", checked!(special::ipv4), "", Anytime, CLUSTER),
    d("cluster-announce-client-ipv6", checked!(special::ipv6), "", Anytime, CLUSTER),
    d("cluster-announce-client-port", PORT, "0", Anytime, CLUSTER),
    d("cluster-announce-client-tls-port", PORT, "0", Anytime, CLUSTER),
    d("cluster-preferred-endpoint-type", Choice(&["ip", "hostname", "unknown-endpoint"]), "ip", Anytime, CLUSTER),
    d("cluster-compatibility-sample-ratio", int(0, 100), "0", Anytime, CLUSTER),
    d("cluster-blacklist-ttl", int(0, U32), "60", Anytime, CLUSTER),
    d("cluster-manual-failover-timeout", int(1, I32), "5000", Anytime, CLUSTER),
    d("cluster-slot-stats-enabled", Switch, "no", Anytime, CLUSTER),
    d("cluster-slot-migration-log-max-len", COUNT, "1000", Anytime, CLUSTER),
    d("slot-migration-max-failover-repl-bytes", SignedSize { min: -1 }, "0", Anytime, CLUSTER),

    // TLS and RDMA.
    d("tls-port", PORT, "0", Anytime, TLS),
    d("tls-cert-file", TEXT, "", Anytime, TLS),
    d("tls-key-file", TEXT, "", Anytime, TLS),
    d("tls-key-file-pass", TEXT, "", Anytime, TLS).sensitive(),
    d("tls-client-cert-file", TEXT, "", Anytime, TLS),
    d("tls-client-key-file", TEXT, "", Anytime, TLS),
    d("tls-client-key-file-pass", TEXT, "", Anytime, TLS).sensitive(),
    d("tls-dh-params-file", TEXT, "", Anytime, TLS),
    d("tls-ca-cert-file", TEXT, "", Anytime, TLS),
    d("tls-ca-cert-dir", TEXT, "", Anytime, TLS),
    d("tls-auth-clients", Choice(&["no", "yes", "optional"]), "yes", Anytime, TLS),
    d("tls-auth-clients-user", Choice(&["CN", "URI", "off"]), "off", Anytime, TLS),
    d("tls-auto-reload-interval", NUMBER, "0", Anytime, TLS),
    d("tls-replication", Switch, "no", Anytime, TLS),
    d("tls-cluster", Switch, "no", Anytime, TLS),
    d("tls-protocols", TEXT, "", Anytime, TLS),
    d("tls-ciphers", TEXT, "", Anytime, TLS),
    d("tls-ciphersuites", TEXT, "", Anytime, TLS),
    d("tls-prefer-server-ciphers", Switch, "no", Anytime, TLS),
    d("tls-session-caching", Switch, "yes", Anytime, TLS),
    d("tls-session-cache-size", NUMBER, "20480", Anytime, TLS),
    d("tls-session-cache-timeout", NUMBER, "300", Anytime, TLS),
    d("max-new-tls-connections-per-cycle", int(1, 1000), "1", Anytime, TLS),
    d("rdma-bind", Addresses, "", Anytime, RDMA),
    d("rdma-port", PORT, "0", Anytime, RDMA),
    d("rdma-rx-size", int(65536, 16_777_216), "1048576", AtStart, RDMA),
    d("rdma-completion-vector", int(-1, 1024), "-1", AtStart, RDMA),

    // For debugging Redis; hidden there too.
    d("watchdog-period", NUMBER, "0", Anytime, DEBUGGING).hidden(),
    d("use-exit-on-panic", Switch, "no", Anytime, DEBUGGING).hidden(),
    d("key-load-delay", int(i32::MIN as i64, I32), "0", Anytime, Supported).hidden(),
    d("rdb-key-save-delay", int(i32::MIN as i64, I32), "0", Anytime, DEBUGGING).hidden(),
    d("loading-process-events-interval-bytes", int(1024, I32), "524288", Anytime, DEBUGGING).hidden(),
];

/// Directives that Redis or Valkey still read, with one argument, and do nothing with.
pub const OBSOLETE: &[&str] = &[
    "list-max-ziplist-entries",
    "list-max-ziplist-value",
    "lua-replicate-commands",
    "events-per-io-thread",
];

/// The row of a directive or an alias, in either case.
pub fn find(name: &[u8]) -> Option<usize> {
    let same = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    DIRECTIVES
        .iter()
        .position(|row| same(row.name) || row.alias.is_some_and(same))
}

/// Whether the value of a directive of that name must not be shown to others.
pub fn is_sensitive(name: &[u8]) -> bool {
    find(name).is_some_and(|row| DIRECTIVES[row].sensitive)
}

/// The row of `name`, for code: an unknown name is our own bug, found at compile time.
pub const fn row_of(name: &str) -> usize {
    let mut row = 0;
    while row < DIRECTIVES.len() {
        if same_text(DIRECTIVES[row].name.as_bytes(), name.as_bytes()) {
            return row;
        }
        row += 1;
    }
    panic!("no such directive")
}

const fn same_text(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
