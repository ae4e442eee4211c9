//! Sorted sets.

use crate::judged;
use harness::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Fills `small`, a listpack, and `big`, a tree; answers how many members they have.
fn fill(connection: &mut harness::Connection) -> [(&'static str, usize); 2] {
    let sets = [("small", 50), ("big", 1000)];
    for (key, members) in sets {
        for i in 0..members {
            let (score, member) = (i.to_string(), format!("m{i}"));
            connection.call(&["ZADD", key, score.as_str(), member.as_str()]);
        }
    }
    sets
}

fn names(reply: &Value) -> Vec<String> {
    reply.items().iter().map(Value::string).collect()
}

#[test]
fn drawn_members_are_members_and_as_many_as_asked_for() {
    let server = judged::start();
    let mut connection = server.connect();
    for (key, members) in fill(&mut connection) {
        let mut seen = BTreeSet::new();
        for count in [1, 7, members / 2, members - 1, members, members + 10] {
            let drawn = names(&connection.call(&["ZRANDMEMBER", key, count.to_string().as_str()]));
            let different: BTreeSet<_> = drawn.iter().cloned().collect();
            assert_eq!(drawn.len(), count.min(members));
            assert_eq!(different.len(), drawn.len());
            seen.extend(different);
        }
        assert_eq!(seen.len(), members);
        assert!(seen.iter().all(|m| m.starts_with('m')));
        let drawn = names(&connection.call(&["ZRANDMEMBER", key, "-500"]));
        assert_eq!(drawn.len(), 500);
        let different: BTreeSet<_> = drawn.iter().collect();
        assert!(different.len() > members / 5 && different.len() < 500);
        let pairs = names(&connection.call(&["ZRANDMEMBER", key, "-20", "WITHSCORES"]));
        for pair in pairs.chunks(2) {
            assert_eq!(pair[0], format!("m{}", pair[1]));
        }
    }
}

#[test]
fn every_member_is_drawn_about_as_often() {
    let server = judged::start();
    let mut connection = server.connect();
    fill(&mut connection);
    connection.call(&["ZREMRANGEBYRANK", "big", "0", "979"]);
    for (key, members) in [("small", 50), ("big", 20)] {
        let drawn = names(&connection.call(&["ZRANDMEMBER", key, "-20000"]));
        let mut counts = BTreeMap::new();
        for member in drawn {
            *counts.entry(member).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), members);
        let expected = 20_000 / members;
        let fair = expected / 2..expected * 2;
        assert!(counts.values().all(|n| fair.contains(n)), "{counts:?}");
    }
}

/// What is there all the time is shown, while everything else comes, goes and changes.
#[test]
fn a_walk_misses_nothing_that_stays() {
    let server = judged::start();
    let mut connection = server.connect();
    fill(&mut connection);
    let mut cursor = "0".to_owned();
    let mut seen = BTreeSet::new();
    let mut round = 0;
    loop {
        let reply = connection.call(&["ZSCAN", "big", cursor.as_str(), "COUNT", "20"]);
        cursor = reply.items()[0].string();
        seen.extend(names(&reply.items()[1]).into_iter().step_by(2));
        if cursor == "0" {
            break;
        }
        round += 1;
        for i in 0..50 {
            let (score, other) = ((i * 37).to_string(), format!("other{}", (i + round) % 300));
            connection.call(&["ZADD", "big", score.as_str(), other.as_str()]);
            let gone = format!("other{}", (i + round + 60) % 300);
            connection.call(&["ZREM", "big", gone.as_str()]);
            let moved = format!("m{}", (i * 19 + round * 7) % 1000);
            connection.call(&["ZINCRBY", "big", "300", moved.as_str()]);
        }
    }
    assert!(round > 10);
    assert!((0..1000).all(|i| seen.contains(&format!("m{i}"))));
}
