//! A fixed sequence of requests from received bytes to encoded replies, without sockets, for
//! counting instructions: `hot_path get|set|mset|ping REQUESTS [SHARDS [here|spread]]`. The client is the
//! first shard's. With several shards all keys are that shard's too, or spread over all of them, which
//! then take turns on this one thread.

use command::table::Table;
use engine::Placement;
use shoal::clients::{Client, Peer};
use shoal::config::Config;
use shoal::control::Control;
use shoal::core::{Core, Process};
use shoal::dispatch::Dispatcher;
use shoal::driver::ConnId;
use shoal::listen::Listeners;
use shoal::remote;
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
        eprintln!("usage: hot_path get|set|mset|ping REQUESTS [SHARDS [here|spread]]");
        std::process::exit(2);
    };
    let requests: u64 = requests.parse().expect("a number of requests");
    let shards: usize = args
        .next()
        .map_or(1, |n| n.parse().expect("a number of shards"));
    let spread = args.next().is_some_and(|word| word == "spread");
    let mut server = Server::new(shards);
    let placement = Placement::new(shards);
    let is_here = |key: &u64| spread || placement.of(name(*key).as_bytes()) == 0;
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

/// All shards of a server, and a client of the first.
struct Server {
    cores: Vec<Core>,
    client: ConnId,
    dispatcher: Dispatcher,
}

impl Server {
    fn new(shards: usize) -> Server {
        let table = Table::new(command::FAMILIES, command::CONTAINERS, session::rows());
        let config = Config::default();
        let listeners = Listeners::new(&[]).expect("nothing to copy");
        let control = Control::new(config.clone(), listeners);
        let process = Arc::new(Process::new(table, control, shards));
        let limits = mesh::Limits {
            ring: 16,
            outbox: 16,
        };
        let nodes = mesh::connect(shards, limits).into_iter();
        let core = |node| {
            let wake = Wake::new().expect("an eventfd");
            Core::new(
                config.clone(),
                Arc::clone(&process),
                wake,
                node,
                [1, 2, 3, 4],
            )
        };
        let mut cores: Vec<Core> = nodes.map(core).collect();
        let client = cores[0].clients.reserve(1);
        let peer = Peer::Unix { path: "".into() };
        cores[0]
            .clients
            .put(Box::new(Client::new(1, client, peer, -1, 0)));
        Server {
            cores,
            client,
            dispatcher: Dispatcher::default(),
        }
    }

    /// Runs a batch; answers how many bytes it was replied.
    fn run(&mut self, batch: &str) -> usize {
        let mut data = batch.as_bytes();
        loop {
            let core = &mut self.cores[0];
            let mut client = core.clients.take(self.client).expect("it stays");
            if !client.is_away() {
                client.held = None;
                self.dispatcher.receive(core, &mut client, data);
                data = &[];
            }
            if client.held.is_none() && !client.input.is_pending() {
                let (mut buffer, _) = client.reply.take();
                core.clients.put(client);
                let len = buffer.len();
                buffer.clear();
                core.spare.put(buffer);
                return len;
            }
            core.clients.put(client);
            for core in &mut self.cores {
                remote::receive(core);
                remote::act(core);
                core.node.flush(|_| {});
            }
        }
    }
}
