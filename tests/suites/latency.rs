//! LATENCY: spikes, and how long commands take.

use crate::judged;
use harness::Value;

#[test]
fn spikes_are_noted_on_every_shard() {
    let server = judged::start();
    let mut asker = server.connect();
    assert_eq!(asker.line("LATENCY LATEST").items().len(), 0);
    // Without a threshold nothing is.
    assert_eq!(asker.line("DEBUG SLEEP 0.02"), Value::ok());
    assert_eq!(asker.line("LATENCY LATEST").items().len(), 0);
    assert_eq!(
        asker.line("CONFIG SET latency-monitor-threshold 10"),
        Value::ok()
    );
    // Enough for every shard to have some.
    let longest = 4;
    for i in 1..=longest {
        let mut slow = server.connect();
        assert_eq!(slow.line(&format!("DEBUG SLEEP 0.0{i}")), Value::ok());
        assert_eq!(slow.line("PING"), Value::Simple("PONG".into()));
    }
    let latest = asker.line("LATENCY LATEST");
    let [event] = latest.items() else {
        panic!("one event expected, not {latest}");
    };
    let [name, at, last_ms, max_ms, ..] = event.items() else {
        panic!("four fields expected, not {event}");
    };
    assert_eq!(name.string(), "command");
    assert!(max_ms.int() >= 10 * longest && last_ms.int() <= max_ms.int());
    let history = asker.line("LATENCY HISTORY command");
    let samples = history.items().iter().map(|sample| {
        let [at, ms] = sample.items() else {
            panic!("a pair expected, not {sample}");
        };
        (at.int(), ms.int())
    });
    let samples: Vec<(i64, i64)> = samples.collect();
    assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{samples:?}");
    let (last_at, last) = samples.last().expect("a sample");
    assert_eq!((*last_at, *last), (at.int(), last_ms.int()));
    assert_eq!(samples.iter().map(|s| s.1).max(), Some(max_ms.int()));
    let graph = asker.line("LATENCY GRAPH command").string();
    let high = format!("all time high {max_ms} ms)\n---", max_ms = max_ms.int());
    assert!(
        graph.starts_with("command - high ") && graph.contains(&high),
        "{graph}"
    );
    assert!(asker.line("LATENCY DOCTOR").string().contains("command"));
    assert_eq!(asker.line("LATENCY RESET nosuch").int(), 0);
    assert_eq!(asker.line("LATENCY RESET command nosuch").int(), 1);
    assert_eq!(asker.line("LATENCY LATEST").items().len(), 0);
    assert_eq!(asker.line("LATENCY RESET").int(), 0);
}

#[test]
fn wrong_arguments_are_refused() {
    judged::check(
        "
        > LATENCY HISTORY x
        []
        > LATENCY GRAPH x
        -ERR No samples available for event 'x'
        > LATENCY HISTORY
        -ERR wrong number of arguments for 'latency|history' command
        > LATENCY NO
        -ERR unknown subcommand 'NO'. Try LATENCY HELP.
        ",
    );
}

#[test]
fn histograms_count_all_calls() {
    let server = judged::start();
    let mut connection = server.connect_as(3);
    assert_eq!(connection.line("CONFIG RESETSTAT"), Value::ok());
    for i in 0..30 {
        assert_eq!(connection.line(&format!("SET key{i} 1")), Value::ok());
    }
    connection.line("CONFIG GET hz");
    let all = connection.line("LATENCY HISTOGRAM set config nosuch get");
    let names: Vec<String> = all.pairs().iter().map(|(name, _)| name.string()).collect();
    assert_eq!(names[0], "set");
    assert!(names[1..].iter().all(|name| name.starts_with("config|")));
    assert!(names.contains(&"config|get".to_owned()));
    let set = all.field("set").expect("calls of SET");
    assert_eq!(set.field("calls"), Some(Value::Int(30)));
    let buckets = set.field("histogram_usec").expect("a histogram").pairs();
    let counts: Vec<i64> = buckets.iter().map(|(_, n)| n.int()).collect();
    assert!(
        counts.is_sorted() && counts.last() == Some(&30),
        "{counts:?}"
    );
    for (end, _) in &buckets {
        // 1024 nanoseconds times a power of two, and what the precision adds.
        let ends = (0..30).map(|b| ((1024i64 << b) + (8 << b) - 1) / 1000);
        assert!(ends.into_iter().any(|e| e == end.int()), "{end}");
    }
    assert!(connection.line("LATENCY HISTOGRAM").field("set").is_some());
}
