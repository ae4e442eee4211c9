//! Runs requests on a shard without a server, for the tests of this crate.

use crate::context::{Context, Settings};
use crate::error::Error;
use crate::spec::{Effect, Handler};
use crate::table::{Run, Table};
use crate::{CONTAINERS, FAMILIES};
use resp::parse::{Batch, Frame, Input, Limits};
use resp::{Args, Protocol, Reply};
use store::Shard;

/// Parses one request, an inline command with its quoting, and hands on its arguments.
pub fn with_args<R>(request: &str, then: impl FnOnce(Args<'_>) -> R) -> R {
    let words = resp::split::split_words(request.as_bytes()).expect("quotes are balanced");
    let mut wire = format!("*{}\r\n", words.len()).into_bytes();
    for word in &words {
        wire.extend(format!("${}\r\n", word.len()).bytes());
        wire.extend(word);
        wire.extend(b"\r\n");
    }
    let limits = Limits {
        max_bulk: 512 << 20,
        authenticated: true,
    };
    let (mut input, mut batch, mut frame) = (Input::default(), Batch::default(), Frame::default());
    let parsed = input.parse(&wire, limits, &mut batch, &mut frame);
    then(batch.command(0, parsed.buf))
}

/// A shard, its table of commands, and a client of it.
pub struct Client {
    pub shard: Shard,
    pub table: Table<()>,
    pub db: usize,
    pub protocol: Protocol,
    pub settings: Settings,
}

impl Default for Client {
    fn default() -> Client {
        let mut shard = Shard::new(16, [1, 2, 3, 4]);
        shard.set_now(1_700_000_000_000);
        Client {
            shard,
            table: Table::new(FAMILIES, CONTAINERS, Vec::new()),
            db: 0,
            protocol: Protocol::Resp2,
            settings: Settings {
                max_string: 512 << 20,
                limits: store::Limits::DEFAULT,
                shard: 0,
                shards: 1,
            },
        }
    }
}

impl Client {
    /// The encoded reply to a request. Checks that the shard's count of changes moved exactly when
    /// the handler says that it wrote.
    pub fn call(&mut self, request: &str) -> String {
        with_args(request, |args| {
            let mut reply = Reply::new(self.protocol);
            if let Err(error) = self.run(args, &mut reply) {
                reply.clear();
                reply.error(error.text());
            }
            String::from_utf8_lossy(&reply.to_vec()).into_owned()
        })
    }

    /// The reply, its line ends written as `|`, and the effect of a handler that has no row here.
    pub fn run_with(&mut self, request: &str, handler: Handler) -> (String, Effect) {
        with_args(request, |args| {
            let mut reply = Reply::new(self.protocol);
            let effect = self
                .execute(args, &mut reply, handler)
                .unwrap_or_else(|error| {
                    reply.clear();
                    reply.error(error.text());
                    Effect::Read
                });
            let text = String::from_utf8_lossy(&reply.to_vec()).replace("\r\n", "|");
            (text, effect)
        })
    }

    fn run(&mut self, args: Args<'_>, reply: &mut Reply) -> Result<(), Error> {
        let entry = self.table.resolve(args).map_err(|u| u.error(args))?;
        entry.check_arity(args.len())?;
        let Run::Data(form) = entry.run else {
            panic!("{} runs on no shard", entry.full_name);
        };
        self.execute(args, reply, form.handler()).map(drop)
    }

    fn execute(
        &mut self,
        args: Args<'_>,
        reply: &mut Reply,
        handler: Handler,
    ) -> Result<Effect, Error> {
        let before = self.shard.changes();
        let mut ctx = Context {
            shard: &mut self.shard,
            db: self.db,
            args,
            hash: None,
            warm: false,
            reply,
            settings: &self.settings,
        };
        let effect = handler(&mut ctx)?;
        let changed = self.shard.changes() != before;
        assert_eq!(changed, effect == Effect::Wrote, "{:?}", args.get(0));
        Ok(effect)
    }

    /// Compares the reply to a request, its line ends written as `|`.
    #[track_caller]
    pub fn check(&mut self, request: &str, want: &str) {
        let got = self.call(request).replace("\r\n", "|");
        assert_eq!(got.trim_end_matches('|'), want, "{request}");
    }
}
