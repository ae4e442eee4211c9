//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR. How a client hears of changes is
//! [`crate::tracking`]'s matter.

use super::line::redirection;
use crate::clients::Client;
use crate::core::Host;
use crate::remote::parcel::Sender;
use crate::remote::survey::{self, Finding, Findings, Topic, Whom};
use crate::tracking::{self, Caching, Mode, Redirect};
use command::{Effect, Error, Outcome};
use resp::Args;
use resp::number::parse_i64;

/// Arguments of CLIENT TRACKING, as far as they are right.
#[derive(Default)]
struct Options<'a> {
    redirect: Option<u64>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<&'a [u8]>,
    /// What is wrong with those behind a REDIRECT, which counts only if there is the client that it names.
    wrong: Option<Error>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Options<'a>, Error> {
        let mut options = Options::default();
        let mut i = 3;
        while i < args.len() {
            match options.take(args, i) {
                Ok(words) => i += words,
                Err(error) if options.redirect.is_some() => {
                    options.wrong = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(options)
    }

    /// Reads an option; answers how many arguments it is.
    fn take(&mut self, args: Args<'a>, i: usize) -> Result<usize, Error> {
        match (args.get(i).to_ascii_lowercase().as_slice(), args.opt(i + 1)) {
            (b"redirect", Some(_)) if self.redirect.is_some() => Err(Error::new(
                "ERR A client can only redirect to a single other client",
            )),
            (b"redirect", Some(id)) => {
                let id = parse_i64(id).ok_or(Error::NOT_INTEGER)?;
                self.redirect = Some(id as u64);
                Ok(2)
            }
            (b"prefix", Some(prefix)) => {
                self.prefixes.push(prefix);
                Ok(2)
            }
            (b"bcast", _) => Ok(flag(&mut self.broadcast)),
            (b"optin", _) => Ok(flag(&mut self.opt_in)),
            (b"optout", _) => Ok(flag(&mut self.opt_out)),
            (b"noloop", _) => Ok(flag(&mut self.no_loop)),
            _ => Err(Error::SYNTAX),
        }
    }

    fn mode(&self) -> Mode {
        match self {
            Options {
                broadcast: true, ..
            } => Mode::Broadcast,
            Options { opt_in: true, .. } => Mode::OptIn,
            Options { opt_out: true, .. } => Mode::OptOut,
            _ => Mode::All,
        }
    }

    /// Refuses options that do not go together, or not with what the client has asked for before.
    fn check(&self, client: &Client) -> Result<(), Error> {
        let before = client.session.tracking.as_deref();
        let mode = before.map(|caching| caching.mode);
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(Error::new(
                "ERR PREFIX option requires BCAST mode to be enabled",
            ));
        }
        if mode.is_some_and(|mode| (mode == Mode::Broadcast) != self.broadcast) {
            return Err(Error::new(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(Error::new(
                "ERR OPTIN and OPTOUT are not compatible with BCAST",
            ));
        }
        if self.opt_in && self.opt_out {
            return Err(Error::new(
                "ERR You can't specify both OPTIN mode and OPTOUT mode",
            ));
        }
        if self.opt_in && mode == Some(Mode::OptOut) || self.opt_out && mode == Some(Mode::OptIn) {
            return Err(Error::new(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        before.map_or(Ok(()), |caching| self.check_prefixes(caching))?;
        self.check_prefixes(&Caching::default())
    }

    /// Refuses prefixes one of which begins with another, of those `before` or of the same call.
    fn check_prefixes(&self, before: &Caching) -> Result<(), Error> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        for (i, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = before.prefixes.iter().find(|old| overlap(prefix, old)) {
                return Err(overlapping(prefix, "an existing prefix", other));
            }
            let mut behind = self.prefixes[i + 1..].iter();
            if let Some(other) = behind.find(|other| overlap(prefix, other)) {
                return Err(overlapping(prefix, "another provided prefix", other));
            }
        }
        Ok(())
    }
}

fn flag(flag: &mut bool) -> usize {
    *flag = true;
    1
}

fn overlapping(prefix: &[u8], what: &str, other: &[u8]) -> Error {
    let text = [
        b"ERR Prefix '",
        prefix,
        b"' overlaps with ",
        what.as_bytes(),
        b" '",
        other,
        b"'. Prefixes for a single client must not overlap.",
    ];
    Error::bytes(text.concat())
}

pub(super) fn tracking(host: &mut Host<'_>) -> Outcome {
    let options = Options::parse(host.args)?;
    match options.redirect {
        Some(client) => survey::ask(host, Whom::All, Topic::Exists { client }, found),
        None => switch(host, &options, None),
    }
}

/// The client that is redirected to has been looked for.
fn found(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let options = Options::parse(host.args)?;
    let mut there = findings.into_iter();
    let there = there.find(|(_, finding)| matches!(finding, Finding::Count(1)));
    let (shard, _) = there.ok_or(Error::new(
        "ERR The client ID you want redirect to does not exist",
    ))?;
    let client = options.redirect.unwrap_or_default();
    switch(host, &options, Some(Redirect { shard, client }))
}

fn switch(host: &mut Host<'_>, options: &Options<'_>, redirect: Option<Redirect>) -> Outcome {
    if let Some(error) = &options.wrong {
        return Err(error.clone());
    }
    if host.args.is(2, "OFF") {
        tracking::disable(host.core, host.client);
        host.reply.ok();
        return Ok(Effect::Read);
    }
    if !host.args.is(2, "ON") {
        return Err(Error::SYNTAX);
    }
    options.check(host.client)?;
    let mut caching = Caching {
        mode: options.mode(),
        no_loop: options.no_loop,
        redirect,
        ..Caching::default()
    };
    if !options.broadcast {
        tracking::enable(host.core, host.client, caching);
        host.reply.ok();
        return Ok(Effect::Read);
    }
    if let Some(before) = &mut host.client.session.tracking {
        caching.prefixes = std::mem::take(&mut before.prefixes);
    }
    let prefixes = prefixes(host.args);
    caching
        .prefixes
        .extend(prefixes.into_iter().map(Into::into));
    tracking::enable(host.core, host.client, caching);
    let client = Sender::of(host.client);
    survey::ask(
        host,
        Whom::All,
        Topic::Prefixes { client },
        survey::answer_ok,
    )
}

/// The prefixes that CLIENT TRACKING names, or that of all keys.
pub fn prefixes(args: Args<'_>) -> Vec<&[u8]> {
    let options = Options::parse(args);
    let mut prefixes = options.map_or(Vec::new(), |options| options.prefixes);
    if prefixes.is_empty() {
        prefixes.push(b"");
    }
    prefixes
}

pub(super) fn caching(host: &mut Host<'_>) -> Outcome {
    if host.client.session.tracking.is_none() {
        return Err(Error::new(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        ));
    }
    let word = host.args.get(2);
    let (shown, needed) = match word.to_ascii_lowercase().as_slice() {
        b"yes" => ("YES", "OPTIN"),
        b"no" => ("NO", "OPTOUT"),
        _ => return Err(Error::SYNTAX),
    };
    if !tracking::call(host.client, word) {
        return Err(Error::new(format!(
            "ERR CLIENT CACHING {shown} is only valid when tracking is enabled in {needed} mode."
        )));
    }
    host.reply.ok();
    Ok(Effect::Read)
}

pub(super) fn getredir(host: &mut Host<'_>) -> Outcome {
    host.reply.int(redirection(host.client));
    Ok(Effect::Read)
}

pub(super) fn trackinginfo(host: &mut Host<'_>) -> Outcome {
    let reply = &mut *host.reply;
    let caching = host.client.session.tracking.as_deref();
    let is = |mode: Mode| caching.is_some_and(|c| c.mode == mode);
    let called = caching.is_some_and(|c| c.called);
    let flags = [
        ("on", caching.is_some()),
        ("off", caching.is_none()),
        ("bcast", is(Mode::Broadcast)),
        ("optin", is(Mode::OptIn)),
        ("caching-yes", is(Mode::OptIn) && called),
        ("optout", is(Mode::OptOut)),
        ("caching-no", is(Mode::OptOut) && called),
        ("noloop", caching.is_some_and(|c| c.no_loop)),
        ("broken_redirect", caching.is_some_and(|c| c.broken)),
    ];
    let flags: Vec<&str> = flags.iter().filter(|f| f.1).map(|f| f.0).collect();
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(redirection(host.client));
    reply.bulk(b"prefixes");
    let prefixes = caching.map(|caching| &caching.prefixes);
    reply.array(prefixes.map_or(0, |prefixes| prefixes.len()));
    for prefix in prefixes.into_iter().flatten() {
        reply.bulk(prefix);
    }
    Ok(Effect::Read)
}
