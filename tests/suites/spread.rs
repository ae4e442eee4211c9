//! Connections are spread evenly over the shards, also when there are few, and whoever left.

use harness::server::{SEVERAL, until};
use harness::{Connection, Program, Server, Value};

/// A server to which nobody is connected but the one that comes with it.
fn start() -> (Server, Connection) {
    let server = Server::setup(Program::Judged).shards(SEVERAL).start();
    let mut first = server.connect();
    wait_for(&mut first, 1);
    (server, first)
}

fn wait_for(connection: &mut Connection, count: usize) {
    until("connections to be gone", || {
        let info = connection.line("INFO clients").string();
        let line = format!("connected_clients:{count}\r\n");
        info.contains(&line).then_some(())
    });
}

/// The shard that serves it; its answer also says that it has been accepted.
fn shard_of(connection: &mut Connection) -> usize {
    let info = connection.line("CLIENT INFO").string();
    let mut fields = info.split(' ');
    let shard = fields.find_map(|field| field.strip_prefix("io-thread="));
    shard.expect("a shard").parse().expect("a number")
}

fn counts(connections: &mut [Connection]) -> [usize; SEVERAL] {
    let mut counts = [0; SEVERAL];
    for connection in connections {
        counts[shard_of(connection)] += 1;
    }
    counts
}

#[test]
fn each_shard_has_as_many_as_the_others() {
    let (server, first) = start();
    if !Program::Judged.is_shoal() {
        return println!("skipped: not Shoal");
    }
    let mut connections = vec![first];
    while connections.len() < 4 * SEVERAL {
        let mut next = match connections.len() % 2 {
            0 => server.connect(),
            _ => server.connect_unix(),
        };
        shard_of(&mut next);
        connections.push(next);
        if connections.len() % SEVERAL == 0 {
            let each = connections.len() / SEVERAL;
            assert_eq!(counts(&mut connections), [each; SEVERAL]);
        }
    }
    // All of one shard leave; who comes next fills the gap.
    let shards: Vec<usize> = connections.iter_mut().map(shard_of).collect();
    let mut shards = shards.into_iter();
    connections.retain(|_| shards.next() != Some(1));
    let left = connections.len();
    wait_for(&mut connections[0], left);
    for _ in 0..4 {
        let mut next = server.connect();
        assert_eq!(shard_of(&mut next), 1);
        connections.push(next);
    }
    assert_eq!(counts(&mut connections), [4; SEVERAL]);
}

/// Shards that accept at the same moment may choose the same one, so that all is even only nearly.
#[test]
fn many_at_once_are_spread_as_well() {
    let (server, _first) = start();
    if !Program::Judged.is_shoal() {
        return println!("skipped: not Shoal");
    }
    let mut connections: Vec<Connection> = (0..40 * SEVERAL).map(|_| server.connect()).collect();
    for connection in &mut connections {
        connection.send(&["PING"]).expect("sent");
    }
    for connection in &mut connections {
        assert_eq!(connection.read(), Value::Simple(b"PONG".to_vec()));
    }
    let counts = counts(&mut connections);
    assert!(
        counts.iter().all(|count| (20..=60).contains(count)),
        "{counts:?}"
    );
}
