//! Places on the earth: sorted sets whose scores are numbers of cells.
//!
//! Rows stand beside their handlers. How places become cells and cells are found around a place is in
//! `cell` and `shape`, which know neither keys nor replies; the searches have a file of their own.

mod cell;
mod search;
mod shape;

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use crate::string::wrote;
use cell::Place;
use resp::{Args, Reply};
use store::zset::Zset;
use store::{Class, Look};

pub static COMMANDS: &[Command] = &[
    GEOADD,
    GEODIST,
    GEOHASH,
    GEOPOS,
    search::GEORADIUS,
    search::GEORADIUSBYMEMBER,
    search::GEORADIUSBYMEMBER_RO,
    search::GEORADIUS_RO,
    search::GEOSEARCH,
    search::GEOSEARCHSTORE,
];

const KEY: Argument = Argument::key("key", 0);
const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const LONGITUDE: Argument = Argument::new("longitude", Kind::Double);
const LATITUDE: Argument = Argument::new("latitude", Kind::Double);
const UNIT: Argument = Argument::one_of(
    "unit",
    &[
        Argument::token("m", "M"),
        Argument::token("km", "KM"),
        Argument::token("ft", "FT"),
        Argument::token("mi", "MI"),
    ],
);

/// Reads a number; infinities are numbers.
fn double(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let is_digit = |digits: &[u8]| text.iter().any(|c| digits.contains(c));
    let in_range = if value.is_infinite() {
        !is_digit(b"0123456789")
    } else {
        let mantissa = text.split(|c| c.eq_ignore_ascii_case(&b'e')).next();
        value != 0.0 || !mantissa?.iter().any(|c| (b'1'..=b'9').contains(c))
    };
    (in_range && !value.is_nan()).then_some(value)
}

/// Arguments `i` and `i + 1` as a place.
fn place(args: Args<'_>, i: usize) -> Result<Place, Error> {
    let longitude = double(args.get(i)).ok_or(Error::NOT_FLOAT)?;
    let latitude = double(args.get(i + 1)).ok_or(Error::NOT_FLOAT)?;
    let place = Place {
        longitude,
        latitude,
    };
    if place.is_indexed() {
        return Ok(place);
    }
    Err(Error::new(format!(
        "ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
    )))
}

/// Argument `i` as a unit: how many metres it has.
fn unit(args: Args<'_>, i: usize) -> Result<f64, Error> {
    let units = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = units.into_iter().find(|(name, _)| args.is(i, name));
    found.map(|(_, metres)| metres).ok_or(Error::new(
        "ERR unsupported unit provided. please use M, KM, FT, MI",
    ))
}

/// Writes a distance with four decimals.
fn reply_distance(reply: &mut Reply, distance: f64) {
    const PLACES: u64 = 10_000;
    let scaled = (distance * PLACES as f64).round_ties_even() as u64;
    let text = format!("{}.{:04}", scaled / PLACES, scaled % PLACES);
    reply.bulk(text.as_bytes());
}

fn reply_place(reply: &mut Reply, place: Place) {
    reply.array(2);
    reply.double_text(store::double::Text::of(place.longitude).bytes());
    reply.double_text(store::double::Text::of(place.latitude).bytes());
}

const GEOADD: Command = Command {
    spec: Spec {
        name: "geoadd",
        group: "geo",
        since: "3.2.0",
        arity: -5,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
        summary: "Adds places to a geospatial index, or moves those that it has.",
        complexity: "O(log(N)) for each place, with N the number of places in the index.",
        arguments: &[
            KEY,
            Argument::one_of(
                "condition",
                &[Argument::token("nx", "NX"), Argument::token("xx", "XX")],
            )
            .optional()
            .since("6.2.0"),
            Argument::token("change", "CH").optional().since("6.2.0"),
            Argument::block(
                "data",
                &[LONGITUDE, LATITUDE, Argument::new("member", Kind::String)],
            )
            .multiple(),
        ],
        history: &[("6.2.0", "CH, NX and XX.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(geoadd),
};

fn geoadd(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let args = ctx.args;
    let (mut only_new, mut only_old, mut counts_changes) = (false, false, false);
    let mut first = 2;
    while first < args.len() {
        match () {
            () if args.is(first, "NX") => only_new = true,
            () if args.is(first, "XX") => only_old = true,
            () if args.is(first, "CH") => counts_changes = true,
            () => break,
        }
        first += 1;
    }
    if !(args.len() - first).is_multiple_of(3) || (only_new && only_old) {
        return Err(Error::SYNTAX);
    }
    let mut scores = Vec::with_capacity((args.len() - first) / 3);
    for i in (first..args.len()).step_by(3) {
        scores.push(place(args, i)?.score());
    }
    if scores.is_empty() {
        return Err(Error::SYNTAX);
    }
    let opened = if only_old {
        ctx.shard.open::<Zset>(ctx.db, key)?
    } else {
        Some(ctx.shard.create::<Zset>(ctx.db, key)?)
    };
    let Some(mut zset) = opened else {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    };
    let (mut added, mut moved) = (0, 0);
    for (score, i) in scores.into_iter().zip((first + 2..).step_by(3)) {
        zset.upsert(args.get(i), &ctx.settings.limits, |old| match old {
            Some(old) if only_new || old == score => None,
            None if only_old => None,
            Some(_) => {
                moved += 1;
                Some(score)
            }
            None => {
                added += 1;
                Some(score)
            }
        });
    }
    let changed = added + moved > 0;
    zset.close_as(changed, Class::ZSET, "zadd");
    ctx.reply
        .int(if counts_changes { added + moved } else { added });
    Ok(wrote(changed))
}

const GEODIST: Command = Command {
    spec: Spec {
        name: "geodist",
        group: "geo",
        since: "3.2.0",
        arity: -4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the distance between two places of a geospatial index.",
        arguments: &[
            KEY,
            Argument::new("member1", Kind::String),
            Argument::new("member2", Kind::String),
            UNIT.optional(),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(geodist),
};

fn geodist(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let args = ctx.args;
    let unit = match args.len() {
        4 => 1.0,
        5 => unit(args, 4)?,
        _ => return Err(Error::SYNTAX),
    };
    let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)?;
    let score = |i| zset.as_ref()?.score(args.get(i));
    match (score(2), score(3)) {
        (Some(a), Some(b)) => {
            let distance = shape::distance(Place::of_score(a), Place::of_score(b));
            reply_distance(ctx.reply, distance / unit);
        }
        _ => ctx.reply.null(),
    }
    Ok(Effect::Read)
}

const MEMBERS: Argument = Argument::new("member", Kind::String).optional().multiple();

const GEOHASH: Command = Command {
    spec: Spec {
        name: "geohash",
        group: "geo",
        since: "3.2.0",
        arity: -2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the geohashes of places of a geospatial index.",
        complexity: "O(1) for each member.",
        arguments: &[KEY, MEMBERS],
        ..Spec::DEFAULT
    },
    form: Form::Local(geohash),
};

fn geohash(ctx: &mut Context<'_>) -> Outcome {
    each_place(ctx, |reply, place| match place {
        Some(place) => reply.bulk(&place.geohash()),
        None => reply.null(),
    })
}

const GEOPOS: Command = Command {
    spec: Spec {
        name: "geopos",
        group: "geo",
        since: "3.2.0",
        arity: -2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers longitude and latitude of places of a geospatial index.",
        complexity: "O(1) for each member.",
        arguments: &[KEY, MEMBERS],
        ..Spec::DEFAULT
    },
    form: Form::Local(geopos),
};

fn geopos(ctx: &mut Context<'_>) -> Outcome {
    each_place(ctx, |reply, place| match place {
        Some(place) => reply_place(reply, place),
        None => reply.null_array(),
    })
}

/// Answers an array with something for each member that the arguments name.
fn each_place(ctx: &mut Context<'_>, answer: impl Fn(&mut Reply, Option<Place>)) -> Outcome {
    let key = ctx.key(1);
    let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)?;
    ctx.reply.array(ctx.args.len() - 2);
    for member in ctx.args.from(2).iter() {
        let score = zset.as_ref().and_then(|zset| zset.score(member));
        answer(ctx.reply, score.map(Place::of_score));
    }
    Ok(Effect::Read)
}

#[cfg(test)]
mod tests;
