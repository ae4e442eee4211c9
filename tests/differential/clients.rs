//! Several clients in turn, on both servers: MULTI with keys that others change, and commands that wait.
//!
//! A script is steps, one a line: a client's letter and what it does.
//!
//! ```text
//! A  RPUSH k 1       sends a command and reads the reply
//! A? BLPOP k 0       sends a command and sees to it that the client waits
//! A<                 reads the reply to that
//! A! ERROR           has it unblocked by CLIENT UNBLOCK, with this reason if there is one
//! sleep 50           waits so many milliseconds
//! ```
//!
//! Replies are compared as they come. Redis 8 is the judge, as it is the newest that has all of this.

use harness::server::{SEVERAL, until};
use harness::{Connection, Program, Server, Value};
use std::collections::BTreeMap;
use std::time::Duration;

struct Session<'a> {
    server: &'a Server,
    admin: Connection,
    clients: BTreeMap<char, (Connection, i64)>,
    waiting: usize,
}

impl Session<'_> {
    fn blocked(&mut self) -> usize {
        let count = &self.admin.info("clients")["blocked_clients"];
        count.parse().expect("a number")
    }

    fn client(&mut self, name: char, protocol: u8) -> &mut (Connection, i64) {
        let server = self.server;
        self.clients.entry(name).or_insert_with(|| {
            let mut client = server.connect_as(protocol);
            let id = client.line("CLIENT ID").int();
            (client, id)
        })
    }

    /// Does one step; answers what it was answered.
    fn step(&mut self, line: &str, protocol: u8) -> Option<Value> {
        let (who, what) = line.split_once(' ').unwrap_or((line, ""));
        let what = what.trim();
        if who == "sleep" {
            let ms = what.parse().expect("milliseconds");
            std::thread::sleep(Duration::from_millis(ms));
            return None;
        }
        let name = who.chars().next().expect("a client's letter");
        match who.get(1..) {
            Some("?") => {
                let client = self.client(name, protocol);
                let words: Vec<_> = what.split(' ').collect();
                client.0.send(&words).expect("it is sent");
                self.waiting += 1;
                let waiting = self.waiting;
                until("the client to wait", || {
                    (self.blocked() == waiting).then_some(())
                });
                None
            }
            Some("<") => {
                self.waiting -= 1;
                Some(self.client(name, protocol).0.read())
            }
            Some("!") => {
                let id = self.client(name, protocol).1;
                let line = format!("CLIENT UNBLOCK {id} {what}");
                Some(self.admin.line(line.trim_end()))
            }
            _ => Some(self.client(name, protocol).0.line(what)),
        }
    }
}

fn run(server: &Server, script: &str, protocol: u8) -> Vec<(String, String)> {
    let mut session = Session {
        server,
        admin: server.connect(),
        clients: BTreeMap::new(),
        waiting: 0,
    };
    session.admin.line("FLUSHALL");
    until("nobody to wait", || (session.blocked() == 0).then_some(()));
    let lines = script.lines().map(str::trim).filter(|l| !l.is_empty());
    let mut answers = Vec::new();
    for line in lines {
        if let Some(answer) = session.step(line, protocol) {
            answers.push((line.to_owned(), answer.shown()));
        }
    }
    answers
}

fn scripts_agree(shards: usize) {
    if let Err(why) = Program::Redis8.path() {
        println!("skipped: {why}");
        return;
    }
    let redis = Server::setup(Program::Redis8).start();
    let shoal = Server::setup(Program::Judged).shards(shards).start();
    let scripts = SCRIPTS.split("\n\n");
    for script in scripts.filter(|script| !script.trim().is_empty()) {
        for protocol in [2, 3] {
            let want = run(&redis, script, protocol);
            let got = run(&shoal, script, protocol);
            assert_eq!(got, want, "RESP{protocol}, {shards} shards:\n{script}");
        }
    }
}

#[test]
fn scripts_agree_on_one_shard() {
    scripts_agree(1);
}

#[test]
fn scripts_agree_on_several_shards() {
    scripts_agree(SEVERAL);
}

const SCRIPTS: &str = include_str!("clients.txt");
