//! What the memory is used for: the figures behind INFO memory and MEMORY.
//!
//! ```text
//!   used ─┬─ overhead ─┬─ startup          what the empty server has
//!         │            ├─ clients          buffers and names
//!         │            └─ tables           the keyspace's tables
//!         └─ dataset                       keys and values
//!
//!   allocated ≤ active ≤ resident ≤ rss    slabs and allocator together, then the whole process
//! ```
//!
//! *Used* is what was asked for; entries and tables come from the shards' slabs, everything else from
//! the allocator, which all shards share. *Active* are the slabs' pages in use, *resident* what both hold of the system.

use super::report::Report;
use crate::core::{Host, HostHandler};
use crate::memory;
use crate::remote::survey::{self, Findings, Topic, Whom};
use command::table::Row;
use command::{Effect, Flags, Outcome, Spec};
use resp::Reply;
use resp::reply::Mark;

const ROW: Spec = Spec {
    group: "server",
    since: "4.0.0",
    arity: 2,
    ..Spec::DEFAULT
};

const EVERY_SHARD: &[&str] = &[
    "nondeterministic_output",
    "request_policy:all_shards",
    "response_policy:special",
];

static DOCTOR: Spec = Spec {
    name: "doctor",
    tips: EVERY_SHARD,
    summary: "Says whether something is wrong with the memory.",
    ..ROW
};

static HELP: Spec = Spec {
    name: "help",
    flags: Flags::LOADING.or(Flags::STALE),
    summary: "Lists the subcommands.",
    ..ROW
};

static MALLOC_STATS: Spec = Spec {
    name: "malloc-stats",
    tips: EVERY_SHARD,
    summary: "Answers the allocator's account of itself.",
    complexity: "Depends on how much was allocated",
    ..ROW
};

static PURGE: Spec = Spec {
    name: "purge",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    summary: "Gives unused memory back to the system.",
    complexity: "Depends on how much is unused",
    ..ROW
};

static STATS: Spec = Spec {
    name: "stats",
    tips: EVERY_SHARD,
    summary: "Answers what the memory is used for.",
    complexity: "O(N) in the clients",
    ..ROW
};

pub fn rows() -> Vec<Row<HostHandler>> {
    let subcommand = |spec, handler: HostHandler| Row::subcommand("memory", spec, handler);
    vec![
        subcommand(&DOCTOR, doctor),
        subcommand(&HELP, super::command::help),
        subcommand(&MALLOC_STATS, malloc_stats),
        subcommand(&PURGE, purge),
        subcommand(&STATS, stats),
    ]
}

/// All in bytes; see the module.
pub(super) struct Figures {
    pub used: usize,
    pub peak: usize,
    pub startup: usize,
    pub clients: usize,
    pub tables: usize,
    pub overhead: usize,
    pub dataset: usize,
    pub active: usize,
    pub resident: usize,
    pub rss: usize,
    pub keys: usize,
}

impl Figures {
    pub fn new(report: &Report) -> Figures {
        let slab = &report.slab;
        // Large cells are the allocator's.
        let used = memory::allocated() + slab.allocated - slab.large;
        let clients = report.clients.memory;
        let tables = report.databases.iter().map(|db| db.table).sum();
        let startup = report.startup_memory;
        let overhead = startup + clients + tables;
        // What threads have cached counts as free for the allocator.
        let active = memory::active().max(memory::allocated());
        let committed = memory::committed().max(memory::allocated());
        Figures {
            used,
            peak: report.peak_memory.max(used),
            startup,
            clients,
            tables,
            overhead,
            dataset: used.saturating_sub(overhead),
            active: active + slab.active - slab.large,
            resident: committed + slab.mapped - slab.large,
            rss: memory::resident(),
            keys: report.databases.iter().map(|db| db.keys).sum(),
        }
    }

    /// Share of the dataset in what was used since the start, in percent.
    pub fn dataset_percent(&self) -> f64 {
        percent(self.dataset, self.used.saturating_sub(self.startup))
    }

    pub fn peak_percent(&self) -> f64 {
        percent(self.used, self.peak)
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// How many times as large as `from` it is.
pub(super) fn ratio(of: usize, from: usize) -> f64 {
    of as f64 / from.max(1) as f64
}

/// A map that is being written.
struct Fields<'r> {
    reply: &'r mut Reply,
    mark: Mark,
    fields: usize,
}

impl<'r> Fields<'r> {
    fn new(reply: &'r mut Reply) -> Fields<'r> {
        let mark = reply.mark();
        Fields {
            reply,
            mark,
            fields: 0,
        }
    }

    fn name(&mut self, name: &str) -> &mut Reply {
        self.fields += 1;
        self.reply.bulk(name.as_bytes());
        self.reply
    }

    fn bytes(&mut self, name: &str, value: usize) {
        self.name(name).int(value as i64);
    }

    fn share(&mut self, name: &str, value: f64) {
        self.name(name).double_text(value.to_string().as_bytes());
    }

    /// How much more one figure is than another, as a ratio and in bytes.
    fn excess(&mut self, name: [&str; 2], of: usize, over: usize) {
        self.share(name[0], ratio(of, over));
        self.name(name[1]).int(of as i64 - over as i64);
    }

    fn close(self) {
        self.reply.close_map(self.mark, self.fields);
    }
}

/// Has `sum` answer from the shards' reports.
fn survey(host: &mut Host<'_>, sum: survey::Sum) -> Outcome {
    let topic = Topic::Report { commands: false };
    survey::ask(host, Whom::All, topic, sum)
}

fn stats(host: &mut Host<'_>) -> Outcome {
    survey(host, stats_of)
}

fn stats_of(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let report = Report::merged(findings);
    let figures = Figures::new(&report);
    let mut fields = Fields::new(host.reply);
    fields.bytes("peak.allocated", figures.peak);
    fields.bytes("total.allocated", figures.used);
    fields.bytes("startup.allocated", figures.startup);
    fields.bytes("clients.normal", figures.clients);
    let databases = report.databases.iter().enumerate();
    for (db, of) in databases.filter(|(_, of)| of.keys > 0) {
        let reply = fields.name(&format!("db.{db}"));
        reply.map(2);
        reply.bulk(b"overhead.hashtable.main");
        reply.int(of.table as i64);
        // The time of expiry is part of the entry.
        reply.bulk(b"overhead.hashtable.expires");
        reply.int(0);
    }
    fields.bytes("overhead.db.hashtable.lut", figures.tables);
    fields.bytes("overhead.total", figures.overhead);
    fields.bytes("keys.count", figures.keys);
    let net = figures.used.saturating_sub(figures.startup);
    fields.bytes(
        "keys.bytes-per-key",
        net.checked_div(figures.keys).unwrap_or(0),
    );
    fields.bytes("dataset.bytes", figures.dataset);
    fields.share("dataset.percentage", figures.dataset_percent());
    fields.share("peak.percentage", figures.peak_percent());
    fields.bytes("allocator.allocated", figures.used);
    fields.bytes("allocator.active", figures.active);
    fields.bytes("allocator.resident", figures.resident);
    let Figures {
        used,
        active,
        resident,
        rss,
        ..
    } = figures;
    fields.excess(
        [
            "allocator-fragmentation.ratio",
            "allocator-fragmentation.bytes",
        ],
        active,
        used,
    );
    fields.excess(
        ["allocator-rss.ratio", "allocator-rss.bytes"],
        resident,
        active,
    );
    fields.excess(["rss-overhead.ratio", "rss-overhead.bytes"], rss, resident);
    fields.excess(["fragmentation", "fragmentation.bytes"], rss, used);
    fields.close();
    Ok(Effect::Read)
}

fn doctor(host: &mut Host<'_>) -> Outcome {
    survey(host, doctor_of)
}

fn doctor_of(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let report = Report::merged(findings);
    let figures = Figures::new(&report);
    let clients = report.clients.connected;
    host.reply
        .verbatim(b"txt", diagnosis(&figures, clients).as_bytes());
    Ok(Effect::Read)
}

/// What is remarkable about the figures, in words. The thresholds are those of Redis.
fn diagnosis(figures: &Figures, clients: usize) -> String {
    const MIB: usize = 1 << 20;
    if figures.used < 5 * MIB {
        return "With less than 5 MB in use there is nothing to diagnose. Ask again when there is \
                data.\n"
            .into();
    }
    let mut findings = Vec::new();
    if ratio(figures.peak, figures.used) > 1.5 {
        findings.push(format!(
            "Peak: at some time {} were in use, more than one and a half times what is now. The \
             allocator may still hold memory of that time, so the resident size is no measure of \
             the data. MEMORY PURGE gives back what can be.",
            human(figures.peak)
        ));
    }
    let fragmented = |of: usize, over: usize, ratio_max: f64| {
        ratio(of, over) > ratio_max && of.saturating_sub(over) > 10 * MIB
    };
    if fragmented(figures.rss, figures.used, 1.4) {
        findings.push(format!(
            "Fragmentation: the process takes {} of memory for {} in use. Deleted keys of other \
             sizes than the present ones, or values that grew, leave such gaps.",
            human(figures.rss),
            human(figures.used)
        ));
    }
    if fragmented(figures.active, figures.used, 1.1) {
        findings.push(format!(
            "Gaps in pages: {} of the pages in use hold nothing.",
            human(figures.active - figures.used)
        ));
    }
    if fragmented(figures.rss, figures.resident, 1.1) {
        findings.push(format!(
            "Outside the allocators: {} are neither the data's nor the buffers'.",
            human(figures.rss - figures.resident)
        ));
    }
    if figures.clients / clients.max(1) > 200 * 1024 {
        findings.push(format!(
            "Clients: their buffers take {} on average. Look for the largest in CLIENT LIST.",
            human(figures.clients / clients.max(1))
        ));
    }
    if findings.is_empty() {
        return "Nothing is wrong with the memory.\n".into();
    }
    findings.iter().map(|f| format!("* {f}\n")).collect()
}

fn malloc_stats(host: &mut Host<'_>) -> Outcome {
    survey(host, malloc_stats_of)
}

fn malloc_stats_of(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let slab = Report::merged(findings).slab;
    let report = format!(
        "{}\nslabs: {} bytes in cells, {} in pages in use, {} mapped; {} in large cells, which are \
         the allocator's\n",
        memory::report(),
        slab.allocated,
        slab.active,
        slab.mapped,
        slab.large
    );
    host.reply.verbatim(b"txt", report.as_bytes());
    Ok(Effect::Read)
}

/// The allocator gives back what any thread has freed.
fn purge(host: &mut Host<'_>) -> Outcome {
    memory::give_back();
    host.reply.ok();
    Ok(Effect::Read)
}

/// Bytes in the largest binary unit, as in `1.34M`.
pub(super) fn human(bytes: usize) -> String {
    const UNITS: &[(u32, &str)] = &[(50, "P"), (40, "T"), (30, "G"), (20, "M"), (10, "K")];
    for (bits, unit) in UNITS {
        if bytes >> bits != 0 {
            return format!("{:.2}{unit}", bytes as f64 / (1u64 << bits) as f64);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_their_unit() {
        for (bytes, want) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_401_232, "1.34M"),
            (25_276_502_016, "23.54G"),
            (1 << 40, "1.00T"),
            (3 << 49, "1.50P"),
        ] {
            assert_eq!(human(bytes), want);
        }
    }

    #[track_caller]
    fn check(figures: Figures, findings: &[&str]) {
        let text = diagnosis(&figures, 10);
        let found: Vec<&str> = text
            .lines()
            .filter_map(|l| l.strip_prefix("* ")?.split(':').next())
            .collect();
        assert_eq!(found, findings, "{text}");
    }

    #[test]
    fn the_doctor_finds_what_is_wrong() {
        const M: usize = 1 << 20;
        let healthy = || Figures {
            used: 100 * M,
            peak: 100 * M,
            startup: M,
            clients: M,
            tables: M,
            overhead: 3 * M,
            dataset: 97 * M,
            active: 101 * M,
            resident: 102 * M,
            rss: 103 * M,
            keys: 1,
        };
        check(healthy(), &[]);
        check(
            Figures {
                used: 4 * M,
                ..healthy()
            },
            &[],
        );
        check(
            Figures {
                peak: 160 * M,
                ..healthy()
            },
            &["Peak"],
        );
        let scattered = Figures {
            active: 150 * M,
            resident: 151 * M,
            rss: 152 * M,
            ..healthy()
        };
        check(scattered, &["Fragmentation", "Gaps in pages"]);
        check(
            Figures {
                rss: 130 * M,
                ..healthy()
            },
            &["Outside the allocators"],
        );
        check(
            Figures {
                clients: 10 * M,
                ..healthy()
            },
            &["Clients"],
        );
    }
}
