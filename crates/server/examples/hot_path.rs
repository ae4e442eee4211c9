//! A fixed sequence of requests from received bytes to encoded replies, without sockets, for
//! counting instructions: `hot_path get|set|mset|ping REQUESTS [SHARDS]`. With several shards all keys
//! are those of the first.

use command::table::Table;
use engine::Placement;
use shoal::clients::{Client, Peer};
use shoal::config::Config;
use shoal::control::Control;
use shoal::core::{Core, Process};
use shoal::dispatch::Dispatcher;
use shoal::driver::ConnId;
use shoal::listen::Listeners;
use shoal::session;
use shoal::wake::Wake;
use std::fmt::Write;
use std::sync::Arc;

/// Keys that requests choose among; they are all there.
const KEYS: usize = 10_000;
/// Requests of one batch.
const DEPTH: u64 = 100;
/// Keys of one MSET.
const PAIRS: u64 = 10;

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(workload), Some(requests)) = (args.next(), args.next()) else {
        eprintln!("usage: hot_path get|set|mset|ping REQUESTS");
        std::process::exit(2);
    };
    let requests: u64 = requests.parse().expect("a number of requests");
    let shards: usize = args
        .next()
        .map_or(1, |n| n.parse().expect("a number of shards"));
    let mut server = Server::new(shards);
    let placement = Placement::new(shards);
    let is_here = |key: &u64| placement.of(name(*key).as_bytes()) == 0;
    let keys: Vec<u64> = (0..).filter(is_here).take(KEYS).collect();
    for key in &keys {
        server.run(&request("set", &mut || *key));
    }
    let mut random = 1u64;
    let mut next_key = || {
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        keys[(random >> 33) as usize % KEYS]
    };
    // The same hundred batches over and over, so that making them does not count per request.
    let batches: Vec<String> = (0..100)
        .map(|_| {
            (0..DEPTH)
                .map(|_| request(&workload, &mut next_key))
                .collect()
        })
        .collect();
    let mut replied = 0;
    for i in 0..requests / DEPTH {
        replied += server.run(&batches[i as usize % batches.len()]);
    }
    println!("{requests} requests, {replied} bytes of replies");
}

fn name(key: u64) -> String {
    format!("key:{key:012}")
}

fn request(workload: &str, next_key: &mut dyn FnMut() -> u64) -> String {
    let mut words = vec![workload.to_owned()];
    let pairs = match workload {
        "get" | "set" => 1,
        "mset" => PAIRS,
        "ping" => 0,
        _ => panic!("no workload {workload}"),
    };
    for _ in 0..pairs {
        words.push(name(next_key()));
        if workload != "get" {
            words.push("v".repeat(16));
        }
    }
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(text, "${}\r\n{word}\r\n", word.len());
    }
    text
}

struct Server {
    core: Core,
    client: Client,
    dispatcher: Dispatcher,
}

impl Server {
    fn new(shards: usize) -> Server {
        let table = Table::new(command::FAMILIES, command::CONTAINERS, session::rows());
        let config = Config::default();
        let listeners = Listeners::new(&[]).expect("nothing to copy");
        let process = Process::new(table, Control::new(config.clone(), listeners), shards);
        let wake = Wake::new().expect("an eventfd");
        let limits = mesh::Limits {
            ring: 16,
            outbox: 16,
        };
        let node = mesh::connect(shards, limits).swap_remove(0);
        let core = Core::new(config, Arc::new(process), wake, node, [1, 2, 3, 4]);
        let peer = Peer::Unix { path: "".into() };
        Server {
            client: Client::new(1, ConnId(0), peer, -1, 0),
            core,
            dispatcher: Dispatcher::default(),
        }
    }

    /// Runs a batch; answers how many bytes it was replied.
    fn run(&mut self, batch: &str) -> usize {
        self.dispatcher
            .receive(&mut self.core, &mut self.client, batch.as_bytes());
        let (mut buffer, _) = self.client.reply.take();
        let len = buffer.len();
        buffer.clear();
        self.core.recycle(buffer);
        len
    }
}
