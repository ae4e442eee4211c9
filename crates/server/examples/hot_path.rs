//! A fixed sequence of requests from received bytes to encoded replies, without sockets, for
//! counting instructions: `hot_path get|set|mset|ping REQUESTS`.

use command::table::Table;
use shoal::clients::{Client, Peer};
use shoal::config::Config;
use shoal::core::{Core, Process};
use shoal::dispatch::Dispatcher;
use shoal::driver::ConnId;
use shoal::listen::Listeners;
use shoal::session;
use shoal::wake::Wake;
use std::fmt::Write;
use std::sync::Arc;

/// Keys that requests choose among; they are all there.
const KEYS: u64 = 10_000;
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
    let mut server = Server::new();
    for key in 0..KEYS {
        server.run(&request("set", &mut || key));
    }
    let mut random = 1u64;
    let mut next_key = || {
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (random >> 33) % KEYS
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

fn request(workload: &str, next_key: &mut dyn FnMut() -> u64) -> String {
    let mut words = vec![workload.to_owned()];
    let pairs = match workload {
        "get" | "set" => 1,
        "mset" => PAIRS,
        "ping" => 0,
        _ => panic!("no workload {workload}"),
    };
    for _ in 0..pairs {
        words.push(format!("key:{:012}", next_key()));
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
    fn new() -> Server {
        let process = Process {
            table: Table::new(command::FAMILIES, command::CONTAINERS, session::rows()),
            run_id: String::new(),
            started_ms: 0,
            executable: String::new(),
            supervised: "no",
        };
        let listeners = Listeners::new(&[]).expect("nothing to copy");
        let wake = Wake::new().expect("an eventfd");
        let core = Core::new(
            Config::default(),
            Arc::new(process),
            listeners,
            wake,
            [1, 2, 3, 4],
        );
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
        self.dispatcher.recycle(buffer);
        len
    }
}
