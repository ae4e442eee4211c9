//! Spikes of latency: what took longer than `latency-monitor-threshold`, by kind of event.
//!
//! Each shard keeps the samples of its own; [`merged`] makes one history of them. As in Redis, an event
//! has one sample a second, the worst, and the last 160 of them are kept.

use crate::core::Core;
use std::collections::BTreeMap;

/// Samples of an event that are kept.
const SAMPLES: usize = 160;

/// One event's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Unix time in seconds, and milliseconds; the oldest first.
    pub samples: Vec<(i64, u32)>,
    /// The worst ever, in milliseconds.
    pub max_ms: u32,
}

/// By the events' names.
pub type Events = BTreeMap<&'static str, Series>;

impl Series {
    fn add(&mut self, unix_s: i64, ms: u32) {
        self.max_ms = self.max_ms.max(ms);
        match self.samples.last_mut() {
            Some((at, worst)) if *at == unix_s => *worst = ms.max(*worst),
            _ => self.samples.push((unix_s, ms)),
        }
        let more = self.samples.len().saturating_sub(SAMPLES);
        self.samples.drain(..more);
    }
}

impl Core {
    /// Notes that something took so long, if that is worth a sample.
    pub fn note_spike(&mut self, event: &'static str, us: i64) {
        let threshold_ms = self.config.latency_monitor_threshold();
        let ms = us / 1000;
        if threshold_ms > 0 && ms >= threshold_ms {
            let ms = u32::try_from(ms).unwrap_or(u32::MAX);
            let now_s = Core::clock_us() / 1_000_000;
            self.latency.entry(event).or_default().add(now_s, ms);
        }
    }
}

/// The histories of several shards as one.
pub fn merged(all: impl IntoIterator<Item = Events>) -> Events {
    let mut samples: BTreeMap<&str, BTreeMap<i64, u32>> = BTreeMap::new();
    let mut merged = Events::new();
    for (event, series) in all.into_iter().flatten() {
        let into = merged.entry(event).or_default();
        into.max_ms = into.max_ms.max(series.max_ms);
        let seconds = samples.entry(event).or_default();
        for (at, ms) in series.samples {
            let worst = seconds.entry(at).or_default();
            *worst = ms.max(*worst);
        }
    }
    for (event, seconds) in samples {
        if let Some(series) = merged.get_mut(event) {
            series.samples = seconds.into_iter().collect();
            let more = series.samples.len().saturating_sub(SAMPLES);
            series.samples.drain(..more);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_worst_sample_and_old_ones_go() {
        let mut series = Series::default();
        for (at, ms) in [(1, 5), (1, 9), (1, 7), (3, 2)] {
            series.add(at, ms);
        }
        assert_eq!(series.samples, [(1, 9), (3, 2)]);
        assert_eq!(series.max_ms, 9);
        (10..10 + SAMPLES as i64).for_each(|at| series.add(at, 1));
        assert_eq!(
            (series.samples.len(), series.samples[0]),
            (SAMPLES, (10, 1))
        );
        assert_eq!(series.max_ms, 9);
    }

    #[test]
    fn shards_histories_are_one() {
        let events = |samples: &[(i64, u32)]| {
            let mut series = Series::default();
            samples.iter().for_each(|(at, ms)| series.add(*at, *ms));
            Events::from([("command", series)])
        };
        let one = merged([
            events(&[(1, 5), (4, 2)]),
            events(&[(1, 6), (2, 3)]),
            Events::new(),
        ]);
        assert_eq!(one["command"].samples, [(1, 6), (2, 3), (4, 2)]);
        assert_eq!(one["command"].max_ms, 6);
    }
}
