//! INFO: the state of the server as lines of `name:value`, in sections.
//!
//! A field is here if its value is measured or counted; what Redis reports of a feature that is not
//! here is left out, except for counts that are zero because nobody can have used it. To add a
//! field, write a line in its section's function, and if each shard has its own part of the figure,
//! add it to [`Report`]; a section is a row of [`SECTIONS`].

use super::memory::{Figures, human, ratio};
use super::report::{PerShard, Report};
use crate::core::{Core, Host, HostHandler};
use crate::listen::Address;
use crate::remote::survey::{self, Findings, Topic, Whom};
use crate::snapshot;
use crate::stats::CommandStats;
use crate::{cpu, memory};
use command::spec::{Argument, ArgumentKind};
use command::table::Row;
use command::{Effect, Flags, Outcome, Spec};
use engine::Scope;
use resp::Args;
use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering::Relaxed;

static INFO: Spec = Spec {
    name: "info",
    group: "server",
    arity: -1,
    flags: Flags::LOADING.or(Flags::STALE),
    categories: &["dangerous"],
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    summary: "Answers the state and the statistics of the server.",
    arguments: &[Argument::new("section", ArgumentKind::String)
        .optional()
        .multiple()],
    history: &[("7.0.0", "Takes several sections.")],
    ..Spec::DEFAULT
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![Row::command(&INFO, info)]
}

/// What a section is written from, and to.
struct Page<'a> {
    text: String,
    /// Of the caller's shard: what all shards have alike.
    core: &'a Core,
    /// Of all shards.
    report: &'a Report,
}

impl Page<'_> {
    fn line(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    /// A number of bytes, in digits and for people.
    fn bytes(&mut self, name: &str, value: usize) {
        self.line(name, value);
        self.line(&format!("{name}_human"), human(value));
    }

    /// Ticks of the processor's clock in microseconds.
    fn micros(&self, ticks: u64) -> f64 {
        self.core.stats.rate.micros(ticks)
    }
}

struct Section {
    title: &'static str,
    /// Whether INFO without arguments shows it.
    usual: bool,
    /// Whether it is about each command, which is much to be told.
    per_command: bool,
    write: fn(&mut Page<'_>),
}

const fn section(title: &'static str, usual: bool, write: fn(&mut Page<'_>)) -> Section {
    Section {
        title,
        usual,
        per_command: false,
        write,
    }
}

const fn per_command(title: &'static str, write: fn(&mut Page<'_>)) -> Section {
    Section {
        per_command: true,
        ..section(title, false, write)
    }
}

/// In the order in which they are shown.
const SECTIONS: &[Section] = &[
    section("Server", true, server),
    section("Clients", true, clients),
    section("Memory", true, memory_section),
    section("Persistence", true, persistence),
    section("Stats", true, stats),
    section("Replication", true, replication),
    section("CPU", true, cpu_section),
    section("Modules", true, |_| {}),
    per_command("Commandstats", commandstats),
    section("Errorstats", true, errorstats),
    per_command("Latencystats", latencystats),
    section("Cluster", true, cluster),
    section("Keyspace", true, keyspace),
    section("Shoal", true, shoal),
];

/// The sections that the arguments ask for.
fn wanted(args: Args<'_>) -> impl Iterator<Item = &'static Section> {
    let asked = move |word: &str| (1..args.len()).any(|i| args.is(i, word));
    let all = asked("all") || asked("everything");
    let usual = args.len() == 1 || asked("default");
    let sections = SECTIONS.iter();
    sections.filter(move |s| all || usual && s.usual || asked(s.title))
}

fn info(host: &mut Host<'_>) -> Outcome {
    let commands = wanted(host.args).any(|s| s.per_command);
    survey::ask(host, Whom::All, Topic::Report { commands }, info_of)
}

fn info_of(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let mut page = Page {
        text: String::new(),
        core: host.core,
        report: &Report::merged(findings),
    };
    for section in wanted(host.args) {
        if !page.text.is_empty() {
            page.text.push_str("\r\n");
        }
        let _ = write!(page.text, "# {}\r\n", section.title);
        (section.write)(&mut page);
    }
    let text = page.text;
    host.reply.verbatim(b"txt", text.as_bytes());
    Ok(Effect::Read)
}

fn server(page: &mut Page<'_>) {
    let process = std::sync::Arc::clone(&page.core.process);
    let (config, now_us) = (&page.core.config, Core::clock_us());
    let uptime_s = (now_us / 1000 - process.started_ms).max(0) / 1000;
    let (hz, port) = (config.hz(), config.port());
    let file = config
        .file()
        .map_or(String::new(), |f| f.display().to_string());
    page.line("redis_version", super::REDIS_VERSION);
    page.line("server_name", "shoal");
    page.line("shoal_version", env!("CARGO_PKG_VERSION"));
    page.line("redis_mode", "standalone");
    page.line("os", system_name());
    page.line("arch_bits", usize::BITS);
    page.line("multiplexing_api", "io_uring");
    page.line("process_id", std::process::id());
    page.line("process_supervised", process.supervised);
    page.line("run_id", &process.run_id);
    page.line("tcp_port", port);
    page.line("server_time_usec", now_us);
    page.line("uptime_in_seconds", uptime_s);
    page.line("uptime_in_days", uptime_s / 86_400);
    page.line("hz", hz);
    page.line("configured_hz", hz);
    page.line("lru_clock", (now_us / 1_000_000) & 0xff_ffff);
    page.line("executable", &process.executable);
    page.line("config_file", file);
    page.line("io_threads_active", 0);
    for (i, listener) in listeners(page.core).iter().enumerate() {
        page.line(&format!("listener{i}"), listener);
    }
}

/// The kernel's name and release, and the processor.
fn system_name() -> String {
    // SAFETY: a utsname of zeros is valid, and uname fills it with C strings.
    let system = unsafe {
        let mut system: libc::utsname = std::mem::zeroed();
        libc::uname(&raw mut system);
        system
    };
    let text = |field: &[libc::c_char]| -> String {
        let bytes = field.iter().take_while(|c| **c != 0);
        bytes.map(|c| char::from(c.to_ne_bytes()[0])).collect()
    };
    let fields = [&system.sysname[..], &system.release, &system.machine];
    fields.map(text).join(" ")
}

/// A line for each kind of listening socket.
fn listeners(core: &Core) -> Vec<String> {
    let mut lines = Vec::new();
    let control = core.process.control();
    if control.listeners.addresses().any(Address::is_tcp) {
        let addresses = core.config.bind().iter();
        let binds: String = addresses
            .map(|a| format!("bind={},", String::from_utf8_lossy(a)))
            .collect();
        lines.push(format!("name=tcp,{binds}port={}", core.config.port()));
    }
    for address in control.listeners.addresses() {
        if let Address::Unix(path) = address {
            lines.push(format!("name=unix,bind={path}"));
        }
    }
    lines
}

fn clients(page: &mut Page<'_>) {
    let (core, crowd) = (page.core, page.report.clients);
    let limit = core.config.maxclients();
    let pause = core.pause;
    let left_ms = pause.until_ms().map_or(0, |until| until - core.now_ms());
    page.line("connected_clients", crowd.connected);
    page.line("cluster_connections", 0);
    page.line("maxclients", limit);
    page.line("client_recent_max_input_buffer", crowd.input_max);
    page.line("client_recent_max_output_buffer", crowd.output_max);
    page.line("blocked_clients", crowd.paused + crowd.blocked);
    page.line("tracking_clients", crowd.tracking);
    page.line("pubsub_clients", crowd.subscribed);
    page.line("watching_clients", crowd.watching);
    page.line("clients_in_timeout_table", crowd.timed);
    page.line("total_watched_keys", crowd.watched_keys);
    page.line("total_blocking_keys", crowd.awaited_keys);
    page.line("total_blocking_keys_on_nokey", 0);
    let (reason, actions) = match pause.scope() {
        None => ("none", "none"),
        Some(Scope::Writes) => ("client_pause", "write"),
        Some(Scope::All) => ("client_pause", "all"),
    };
    page.line("paused_reason", reason);
    page.line("paused_actions", actions);
    page.line("paused_timeout_milliseconds", left_ms.max(0));
}

fn memory_section(page: &mut Page<'_>) {
    let figures = Figures::new(page.report);
    let (pending, freed) = page.report.trash;
    let config = &page.core.config;
    let limit = config.maxmemory();
    let policy = config.get(&[b"maxmemory-policy"]).pop();
    let policy = policy.map_or(Vec::new(), |(_, value)| value);
    page.bytes("used_memory", figures.used);
    page.bytes("used_memory_rss", figures.rss);
    page.bytes("used_memory_peak", figures.peak);
    page.line(
        "used_memory_peak_perc",
        format_args!("{:.2}%", figures.peak_percent()),
    );
    page.line("used_memory_overhead", figures.overhead);
    page.line("used_memory_startup", figures.startup);
    page.line("used_memory_dataset", figures.dataset);
    page.line(
        "used_memory_dataset_perc",
        format_args!("{:.2}%", figures.dataset_percent()),
    );
    page.line("allocator_allocated", figures.used);
    page.line("allocator_active", figures.active);
    page.line("allocator_resident", figures.resident);
    let texts = page.core.process.scripts.texts();
    let (scripts, script_bytes) = texts.scripts().fold((0, 0), |(n, bytes), script| {
        (n + 1, bytes + script.body().len())
    });
    let libraries = texts.libraries.values();
    let code: usize = libraries.clone().map(|library| library.code().len()).sum();
    let functions: usize = libraries.map(|library| library.functions().len()).sum();
    let library_count = texts.libraries.len();
    drop(texts);
    // One machine runs both.
    let machines = page.report.scripts;
    page.line("used_memory_vm_eval", machines);
    page.bytes("used_memory_lua", machines);
    page.line("used_memory_scripts_eval", script_bytes);
    page.line("number_of_cached_scripts", scripts);
    page.line("number_of_functions", functions);
    page.line("number_of_libraries", library_count);
    page.line("used_memory_vm_functions", 0);
    page.bytes("used_memory_vm_total", machines);
    page.line("used_memory_functions", code);
    page.bytes("used_memory_scripts", script_bytes + code);
    page.bytes("total_system_memory", memory::machine());
    page.bytes("maxmemory", limit as usize);
    page.line("maxmemory_policy", String::from_utf8_lossy(&policy));
    let mut excess = |ratio_name: &str, bytes_name: &str, of: usize, over: usize| {
        page.line(ratio_name, format_args!("{:.2}", ratio(of, over)));
        page.line(bytes_name, of as i64 - over as i64);
    };
    excess(
        "allocator_frag_ratio",
        "allocator_frag_bytes",
        figures.active,
        figures.used,
    );
    excess(
        "allocator_rss_ratio",
        "allocator_rss_bytes",
        figures.resident,
        figures.active,
    );
    excess(
        "rss_overhead_ratio",
        "rss_overhead_bytes",
        figures.rss,
        figures.resident,
    );
    excess(
        "mem_fragmentation_ratio",
        "mem_fragmentation_bytes",
        figures.rss,
        figures.used,
    );
    page.line("mem_not_counted_for_evict", 0);
    page.line("mem_clients_normal", figures.clients);
    page.line("mem_allocator", memory::allocator());
    page.line("mem_overhead_db_hashtable_rehashing", 0);
    page.line("active_defrag_running", 0);
    page.line("lazyfree_pending_objects", pending);
    page.line("lazyfreed_objects", freed);
}

/// How far loading has come.
fn loading(page: &mut Page<'_>) {
    let progress = &page.core.process.progress;
    let (started, total) = (progress.started.load(Relaxed), progress.total.load(Relaxed));
    let done = progress.done.load(Relaxed).min(total);
    let share = done as f64 / total.max(1) as f64;
    let took = (snapshot::now_s() - started).max(0) as f64;
    // As if the rest went as fast.
    let left = if share > 0.0 {
        took / share - took
    } else {
        1.0
    };
    page.line("loading_start_time", started);
    page.line("loading_total_bytes", total);
    page.line("loading_loaded_bytes", done);
    page.line("loading_loaded_perc", format_args!("{:.2}", share * 100.0));
    page.line("loading_eta_seconds", left as i64);
}

fn persistence(page: &mut Page<'_>) {
    let changes = page.report.changes;
    page.line("loading", u8::from(page.core.loading));
    if page.core.loading {
        loading(page);
    }
    page.line("async_loading", 0);
    page.line("rdb_changes_since_last_save", changes);
    let state = page.core.process.snapshots.state().clone();
    let seconds = |taken: Option<i64>| taken.unwrap_or(-1);
    let status = if state.failed { "err" } else { "ok" };
    page.line("rdb_bgsave_in_progress", u8::from(state.in_background()));
    page.line("rdb_last_save_time", state.saved);
    page.line("rdb_last_bgsave_status", status);
    page.line("rdb_last_bgsave_time_sec", seconds(state.took));
    page.line("rdb_current_bgsave_time_sec", seconds(state.takes()));
    page.line("rdb_saves", state.saves);
    // Nothing is copied because it changes: it is written first.
    page.line("rdb_last_cow_size", 0);
    page.line("rdb_last_load_keys_expired", state.expired);
    page.line("rdb_last_load_keys_loaded", state.loaded);
    let hub = &page.core.process.aof;
    let log = hub.state().clone();
    let status = |failed: bool| if failed { "err" } else { "ok" };
    let takes = log
        .rewriting
        .as_ref()
        .map(|rewriting| snapshot::now_s() - rewriting.began);
    page.line("aof_enabled", u8::from(log.enabled));
    page.line("aof_rewrite_in_progress", u8::from(log.rewriting.is_some()));
    page.line("aof_rewrite_scheduled", u8::from(log.scheduled));
    page.line("aof_last_rewrite_time_sec", seconds(log.took));
    page.line("aof_current_rewrite_time_sec", seconds(takes));
    page.line("aof_last_bgrewrite_status", status(log.failures > 0));
    page.line("aof_rewrites", log.rewrites);
    page.line("aof_rewrites_consecutive_failures", log.failures);
    page.line("aof_last_write_status", status(log.failure.is_some()));
    page.line("aof_last_cow_size", 0);
    if log.enabled {
        page.line("aof_current_size", log.size);
        page.line("aof_base_size", log.base_size);
        page.line("aof_pending_rewrite", u8::from(log.scheduled));
        page.line("aof_buffer_length", page.core.process.aof.backlog());
        page.line("aof_pending_bio_fsync", 0);
        page.line("aof_delayed_fsync", log.delayed);
    }
}

fn stats(page: &mut Page<'_>) {
    let (keys, rates) = (page.report.keys, page.report.rates);
    let stats = &page.report.stats;
    let kib = |bytes: u64| bytes as f64 / 1024.0;
    let expire_us = page.micros(stats.expire_ticks);
    let loops_us = page.micros(stats.loop_ticks);
    let commands_us = page.micros(stats.command_ticks);
    let cycle_us = page.micros(rates.loop_ticks) / rates.loops.max(1) as f64;
    let fields: &[(&str, &dyn Display)] = &[
        ("total_connections_received", &stats.connections),
        ("total_commands_processed", &stats.commands_processed),
        ("instantaneous_ops_per_sec", &rates.commands),
        ("total_net_input_bytes", &stats.bytes_in),
        ("total_net_output_bytes", &stats.bytes_out),
        (
            "instantaneous_input_kbps",
            &format_args!("{:.2}", kib(rates.bytes_in)),
        ),
        (
            "instantaneous_output_kbps",
            &format_args!("{:.2}", kib(rates.bytes_out)),
        ),
        ("rejected_connections", &stats.rejected_connections),
        ("expired_subkeys", &keys.expired_fields),
        ("expired_keys", &keys.expired),
        (
            "expired_stale_perc",
            &format_args!("{:.2}", stats.stale_percent),
        ),
        (
            "expired_time_cap_reached_count",
            &stats.expire_time_cap_reached,
        ),
        (
            "expire_cycle_cpu_milliseconds",
            &((expire_us / 1000.0) as u64),
        ),
        ("evicted_keys", &0),
        ("evicted_clients", &0),
        ("evicted_scripts", &0),
        ("keyspace_hits", &keys.hits),
        ("keyspace_misses", &keys.misses),
        ("pubsub_channels", &page.report.channels[0]),
        ("pubsub_patterns", &page.core.pubsub.patterns()),
        ("pubsubshard_channels", &page.report.channels[1]),
        ("latest_fork_usec", &0),
        ("total_forks", &0),
        ("tracking_total_keys", &page.report.tracked[0]),
        ("tracking_total_items", &page.report.tracked[1]),
        ("tracking_total_prefixes", &page.core.tracking.prefixes()),
        ("total_error_replies", &stats.error_replies),
        ("total_reads_processed", &stats.reads),
        ("total_writes_processed", &stats.writes),
        (
            "client_query_buffer_limit_disconnections",
            &stats.query_buffer_disconnections,
        ),
        (
            "client_output_buffer_limit_disconnections",
            &stats.output_buffer_disconnections,
        ),
        ("eventloop_cycles", &stats.loops),
        ("eventloop_duration_sum", &(loops_us as u64)),
        ("eventloop_duration_cmd_sum", &(commands_us as u64)),
        ("instantaneous_eventloop_cycles_per_sec", &rates.loops),
        ("instantaneous_eventloop_duration_usec", &(cycle_us as u64)),
        ("acl_access_denied_auth", &stats.auth_denied),
    ];
    let text = lines(fields);
    page.text.push_str(&text);
}

fn lines(fields: &[(&str, &dyn Display)]) -> String {
    fields
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = write!(text, "{name}:{value}\r\n");
            text
        })
}

fn replication(page: &mut Page<'_>) {
    page.line("role", "master");
    page.line("connected_slaves", 0);
    page.line("master_failover_state", "no-failover");
    page.line("master_repl_offset", 0);
    page.line("repl_backlog_active", 0);
}

fn cpu_section(page: &mut Page<'_>) {
    let busy_us = page.micros(page.report.stats.loop_ticks);
    for (used, suffix) in [
        (cpu::used(cpu::PROCESS), ""),
        (cpu::used(cpu::CHILDREN), "_children"),
        // The threads that execute commands: one in Redis, here one for each shard.
        (page.report.cpu, "_main_thread"),
    ] {
        page.line(
            &format!("used_cpu_sys{suffix}"),
            format_args!("{:.6}", used.system_s),
        );
        page.line(
            &format!("used_cpu_user{suffix}"),
            format_args!("{:.6}", used.user_s),
        );
    }
    page.line(
        "used_active_time_main_thread",
        format_args!("{:.6}", busy_us / 1e6),
    );
}

/// Commands that have been called or refused, with their statistics.
fn used_commands<'a>(page: &Page<'a>) -> impl Iterator<Item = (&'a str, &'a CommandStats)> {
    let entries = page.core.process.table.entries().iter();
    entries
        .zip(&page.report.stats.commands)
        .filter(|(_, s)| s.calls > 0 || s.failed > 0 || s.rejected > 0)
        .map(|(entry, stats)| (&*entry.full_name, stats))
}

fn commandstats(page: &mut Page<'_>) {
    let text = used_commands(page).fold(String::new(), |mut text, (name, stats)| {
        let us = page.micros(stats.ticks);
        let us_per_call = us / stats.calls.max(1) as f64;
        let _ = write!(
            text,
            "cmdstat_{name}:calls={},usec={},usec_per_call={us_per_call:.2},rejected_calls={},\
             failed_calls={}\r\n",
            stats.calls, us as u64, stats.rejected, stats.failed
        );
        text
    });
    page.text.push_str(&text);
}

fn errorstats(page: &mut Page<'_>) {
    for (code, count) in &page.report.stats.errors {
        page.line(
            &format!("errorstat_{}", safe(code)),
            format_args!("count={count}"),
        );
    }
}

/// A name without what starts sections and separates fields and lines.
fn safe(name: &str) -> String {
    name.replace(['#', ':', '\r', '\n'], "_")
}

fn latencystats(page: &mut Page<'_>) {
    let percents = page.core.config.latency_tracking_info_percentiles();
    if percents.is_empty() {
        return;
    }
    let text = used_commands(page).fold(String::new(), |mut text, (name, stats)| {
        let Some(latency) = stats.latency.as_ref().filter(|l| !l.is_empty()) else {
            return text;
        };
        let values = percents.iter().map(|percent| {
            let us = page.micros(latency.percentile(*percent));
            format!("p{percent}={us:.3}")
        });
        let values: Vec<String> = values.collect();
        let _ = write!(
            text,
            "latency_percentiles_usec_{name}:{}\r\n",
            values.join(",")
        );
        text
    });
    page.text.push_str(&text);
}

fn cluster(page: &mut Page<'_>) {
    page.line("cluster_enabled", 0);
}

fn keyspace(page: &mut Page<'_>) {
    let databases = page.report.databases.iter().enumerate();
    for (db, of) in databases.filter(|(_, of)| of.keys > 0) {
        let (keys, volatile, timed) = (of.keys, of.volatile, of.timed);
        let ttl_ms = if volatile == 0 { 0 } else { of.ttl_ms };
        page.line(
            &format!("db{db}"),
            format_args!("keys={keys},expires={volatile},avg_ttl={ttl_ms},subexpiry={timed}"),
        );
    }
}

/// What is Shoal's own.
fn shoal(page: &mut Page<'_>) {
    let slab = page.report.slab;
    let histogram: Vec<String> = page
        .report
        .stats
        .pass_histogram
        .iter()
        .enumerate()
        .filter(|(_, passes)| **passes > 0)
        .map(|(i, passes)| format!("{}={passes}", 1u64 << i))
        .collect();
    let shards = &page.report.per_shard;
    page.line("shards", shards.len());
    for of in shards {
        page.line(
            &format!("shard{}", of.shard),
            format_args!(
                "keys={},clients={},commands={},flights={},transactions={},messages={},wakes={}",
                of.keys,
                of.clients,
                of.commands,
                of.flights,
                of.transactions,
                of.messages,
                of.wakes
            ),
        );
    }
    let sum = |count: fn(&PerShard) -> u64| shards.iter().map(count).sum::<u64>();
    // Batches that had commands for other shards, and commands on keys of several.
    page.line("flights", sum(|s| s.flights));
    page.line("transactions", sum(|s| s.transactions));
    page.line("commands_aside", sum(|s| s.asides));
    // Since the start, whatever CONFIG RESETSTAT does.
    page.line("messages_sent", sum(|s| s.messages));
    page.line("wakes_sent", sum(|s| s.wakes));
    page.line("slab_allocated", slab.allocated);
    page.line("slab_active", slab.active);
    page.line("slab_mapped", slab.mapped);
    // Passes of the event loop by their duration: upper bound in microseconds, and how many.
    page.line("loop_stall_us_histogram", histogram.join(","));
}
