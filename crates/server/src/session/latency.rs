//! LATENCY: spikes ([`crate::latency`]), and how long commands take.

use crate::core::{Core, Host, HostHandler};
use crate::latency::{self, Events, Series};
use crate::remote::survey::{self, Finding, Findings, Topic, Whom};
use crate::session::report::Report;
use crate::stats::CommandStats;
use command::spec::{Argument, ArgumentKind};
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};
use resp::{Args, Reply};
use std::collections::BTreeSet;
use std::fmt::Write;

const ROW: Spec = Spec {
    group: "server",
    since: "2.8.13",
    arity: 2,
    flags: Flags::ADMIN
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ],
    ..Spec::DEFAULT
};

const EVENT: Argument = Argument::new("event", ArgumentKind::String);

static LATENCY: Spec = Spec {
    name: "latency",
    arity: -2,
    flags: Flags::NONE,
    tips: &[],
    summary: "What takes long, and how long.",
    complexity: "Depends on the subcommand.",
    ..ROW
};

static DOCTOR: Spec = Spec {
    name: "doctor",
    summary: "Explains the spikes of latency that there were.",
    ..ROW
};

static GRAPH: Spec = Spec {
    name: "graph",
    arity: 3,
    summary: "Draws the spikes of an event.",
    arguments: &[EVENT],
    ..ROW
};

static HELP: Spec = Spec {
    name: "help",
    flags: Flags::LOADING.or(Flags::STALE),
    tips: &[],
    summary: "Lists the subcommands.",
    ..ROW
};

static HISTOGRAM: Spec = Spec {
    name: "histogram",
    since: "7.0.0",
    arity: -2,
    summary: "Answers how many calls of commands took how long at most.",
    complexity: "O(N) with N the commands.",
    arguments: &[Argument::new("command", ArgumentKind::String)
        .optional()
        .multiple()],
    ..ROW
};

static HISTORY: Spec = Spec {
    name: "history",
    arity: 3,
    summary: "Answers when there were spikes of an event, and how long each was.",
    arguments: &[EVENT],
    ..ROW
};

static LATEST: Spec = Spec {
    name: "latest",
    summary: "Answers the latest spike of each event, and the longest.",
    ..ROW
};

static RESET: Spec = Spec {
    name: "reset",
    arity: -2,
    tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
    summary: "Forgets the spikes of some events, or of all.",
    arguments: &[EVENT.optional().multiple()],
    ..ROW
};

pub fn rows() -> Vec<Row<HostHandler>> {
    let subcommand = |spec, handler: HostHandler| Row::subcommand("latency", spec, handler);
    vec![
        Row::container(&LATENCY),
        subcommand(&DOCTOR, doctor),
        subcommand(&GRAPH, graph),
        subcommand(&HELP, super::command::help),
        subcommand(&HISTOGRAM, histogram),
        subcommand(&HISTORY, history),
        subcommand(&LATEST, latest),
        subcommand(&RESET, reset),
    ]
}

/// What all shards have seen.
fn events(findings: Findings) -> Events {
    let events = findings.into_iter().map(|(_, finding)| match finding {
        Finding::Events(events) => *events,
        _ => unreachable!("events were asked for"),
    });
    latency::merged(events)
}

/// The history of the event that the command names.
fn named(host: &Host<'_>, findings: Findings) -> Option<(&'static str, Series)> {
    let name = host.args.get(2);
    let mut all = events(findings).into_iter();
    all.find(|(event, _)| event.as_bytes() == name)
}

fn latest(host: &mut Host<'_>) -> Outcome {
    survey::ask(host, Whom::All, Topic::Latency, |host, findings| {
        let events = events(findings);
        host.reply.array(events.len());
        for (event, series) in events {
            let (at, ms) = series.samples.last().copied().unwrap_or_default();
            host.reply.array(4);
            host.reply.bulk(event.as_bytes());
            host.reply.int(at);
            host.reply.int(ms.into());
            host.reply.int(series.max_ms.into());
        }
        Ok(Effect::Read)
    })
}

fn history(host: &mut Host<'_>) -> Outcome {
    survey::ask(host, Whom::All, Topic::Latency, |host, findings| {
        let samples = named(host, findings).map_or(Vec::new(), |(_, series)| series.samples);
        host.reply.array(samples.len());
        for (at, ms) in samples {
            host.reply.array(2);
            host.reply.int(at);
            host.reply.int(ms.into());
        }
        Ok(Effect::Read)
    })
}

fn reset(host: &mut Host<'_>) -> Outcome {
    survey::ask(host, Whom::All, Topic::LatencyReset, |host, findings| {
        let mut names = BTreeSet::new();
        for (_, finding) in findings {
            if let Finding::Names(found) = finding {
                names.extend(found.into_iter().map(|(name, _)| name));
            }
        }
        host.reply.int(names.len() as i64);
        Ok(Effect::Read)
    })
}

/// Forgets this shard's spikes of the events that LATENCY RESET names; answers of which there were some.
pub fn reset_here(core: &mut Core, args: Args<'_>) -> Finding {
    let is_named =
        |event: &str| args.len() == 2 || args.iter().skip(2).any(|name| name == event.as_bytes());
    let mut names = Vec::new();
    core.latency.retain(|event, _| {
        let goes = is_named(event);
        if goes {
            names.push((event.as_bytes().into(), 0));
        }
        !goes
    });
    Finding::Names(names)
}

fn graph(host: &mut Host<'_>) -> Outcome {
    survey::ask(host, Whom::All, Topic::Latency, |host, findings| {
        let Some((event, series)) = named(host, findings) else {
            return Err(Error::showing(
                "ERR No samples available for event '",
                host.args.get(2),
                "'",
            ));
        };
        let drawn = draw(event, &series, Core::clock_us() / 1_000_000);
        host.reply.verbatim(b"txt", drawn.as_bytes());
        Ok(Effect::Read)
    })
}

/// Columns of a graph, and rows of its bars.
const COLUMNS: usize = 80;
const ROWS: usize = 4;

/// A bar for each sample, and below it how long ago it was, read downwards: Redis's sparklines.
fn draw(event: &str, series: &Series, now_s: i64) -> String {
    /// What a bar ends with, by its height in its last row.
    const ENDS: [char; 3] = ['_', 'o', '#'];
    let values = || series.samples.iter().map(|(_, ms)| *ms);
    let (low, high) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(COLUMNS)
    );
    let (steps, range) = (ENDS.len() * ROWS, u64::from((high - low).max(1)));
    for (i, columns) in series.samples.chunks(COLUMNS).enumerate() {
        text.push_str(if i > 0 { "\n" } else { "" });
        for row in (0..ROWS).rev() {
            text.extend(columns.iter().map(|(_, ms)| {
                let step = (u64::from(ms - low) * steps as u64 / range) as usize;
                let step = step.min(steps - 1);
                match step / ENDS.len() {
                    last if last == row => ENDS[step % ENDS.len()],
                    last if last > row => '|',
                    _ => ' ',
                }
            }));
            text.push('\n');
        }
        text.push_str(&" ".repeat(columns.len()));
        text.push('\n');
        let labels: Vec<String> = columns.iter().map(|(at, _)| ago(now_s - at)).collect();
        let longest = labels.iter().map(String::len).max().unwrap_or(0);
        for i in 0..longest {
            let letters = labels.iter().map(|label| label.as_bytes().get(i));
            text.extend(letters.map(|c| char::from(*c.unwrap_or(&b' '))));
            text.push('\n');
        }
    }
    text
}

/// A time that has passed, in its largest unit.
fn ago(seconds: i64) -> String {
    const UNITS: [(i64, char); 3] = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    let unit = UNITS.into_iter().find(|(unit, _)| seconds >= *unit);
    let (unit, letter) = unit.unwrap_or((1, 's'));
    format!("{}{letter}", seconds / unit)
}

fn doctor(host: &mut Host<'_>) -> Outcome {
    survey::ask(host, Whom::All, Topic::Latency, |host, findings| {
        let events = events(findings);
        let threshold_ms = host.core.config.latency_monitor_threshold();
        let advice = advice(&events, threshold_ms);
        host.reply.verbatim(b"txt", advice.as_bytes());
        Ok(Effect::Read)
    })
}

fn advice(events: &Events, threshold_ms: i64) -> String {
    if threshold_ms == 0 && events.is_empty() {
        return "Latency is not monitored. CONFIG SET latency-monitor-threshold <milliseconds> \
                begins to.\n"
            .into();
    }
    if events.is_empty() {
        return format!("Nothing has taken {threshold_ms} ms or more since the last reset.\n");
    }
    let mut text = String::from("There were spikes of latency:\n\n");
    for (event, series) in events {
        let values = || series.samples.iter().map(|(_, ms)| f64::from(*ms));
        let count = series.samples.len().max(1) as f64;
        let mean = values().sum::<f64>() / count;
        let deviation = values().map(|ms| (ms - mean).abs()).sum::<f64>() / count;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "- {event}: {count} seconds with spikes (average {mean:.0} ms, mean deviation \
             {deviation:.0} ms), the worst ever {} ms. {}",
            series.max_ms,
            remedy(event)
        );
    }
    text
}

fn remedy(event: &str) -> &'static str {
    match event {
        "command" => "SLOWLOG GET shows which commands take long.",
        "fast-command" => {
            "Such commands do little: see whether the machine swaps, or has more to do than it can."
        }
        "expire-cycle" => "Many keys expire at the same time; spread their times to live.",
        _ => "",
    }
}

fn histogram(host: &mut Host<'_>) -> Outcome {
    let topic = Topic::Report { commands: true };
    survey::ask(host, Whom::All, topic, histogram_of)
}

fn histogram_of(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let report = Report::merged(findings);
    let process = std::sync::Arc::clone(&host.core.process);
    let table = &process.table;
    let mut entries = Vec::new();
    if host.args.len() == 2 {
        entries.extend(table.entries());
    }
    for name in host.args.iter().skip(2) {
        if let Some(entry) = table.find_full(name) {
            match entry.has_subcommands() {
                true => entries.extend(table.subcommands(entry)),
                false => entries.push(entry),
            }
        }
    }
    let all = entries.iter().filter_map(|entry| {
        let stats = &report.stats.commands[entry.index];
        let latency = stats.latency.as_ref().filter(|l| !l.is_empty());
        latency.map(|_| (&*entry.full_name, stats))
    });
    let all: Vec<(&str, &CommandStats)> = all.collect();
    host.reply.map(all.len());
    for (name, stats) in all {
        host.reply.bulk(name.as_bytes());
        write_histogram(host.core, host.reply, stats);
    }
    Ok(Effect::Read)
}

/// Buckets end at powers of two, from 1024 nanoseconds on, with what Redis's histogram adds by its
/// precision.
fn bucket_end_ns(bucket: u32) -> u64 {
    (1024 << bucket) + (8 << bucket) - 1
}

/// The last one ends after half a minute; longer calls count there.
const BUCKETS: u32 = 26;

fn write_histogram(core: &Core, reply: &mut Reply, stats: &CommandStats) {
    let mut counts = [0; BUCKETS as usize];
    for (ticks, calls) in stats.latency.iter().flat_map(|latency| latency.counted()) {
        let ns = (core.stats.rate.micros(ticks) * 1000.0) as u64;
        let bucket = (0..BUCKETS - 1).find(|b| ns <= bucket_end_ns(*b));
        counts[bucket.unwrap_or(BUCKETS - 1) as usize] += calls;
    }
    reply.map(2);
    reply.bulk(b"calls");
    reply.int(counts.iter().sum::<u64>() as i64);
    reply.bulk(b"histogram_usec");
    reply.map(counts.iter().filter(|n| **n > 0).count());
    let mut calls = 0;
    for (bucket, count) in (0..).zip(counts).filter(|(_, n)| *n > 0) {
        calls += count;
        reply.int((bucket_end_ns(bucket) / 1000) as i64);
        reply.int(calls as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphs_are_redis_s() {
        let series = Series {
            samples: vec![(58, 20), (59, 31), (60, 12)],
            max_ms: 31,
        };
        let drawn = draw("command", &series, 60);
        let (head, bars) = drawn.split_once(&"-".repeat(COLUMNS)).expect("a line");
        assert_eq!(
            head,
            "command - high 31 ms, low 12 ms (all time high 31 ms)\n"
        );
        assert_eq!(bars, "\n # \n | \n#| \n||_\n   \n210\nsss\n");
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let told = [0, 59, 60, 7199, 86_399, 200_000].map(ago);
        assert_eq!(told, ["0s", "59s", "1m", "1h", "23h", "2d"]);
    }

    #[test]
    fn buckets_end_where_redis_s_do() {
        let ends: Vec<u64> = (0..10).map(|b| bucket_end_ns(b) / 1000).collect();
        assert_eq!(ends, [1, 2, 4, 8, 16, 33, 66, 132, 264, 528]);
    }
}
