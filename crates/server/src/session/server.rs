//! TIME, ROLE, SHUTDOWN, and LOLWUT.

use crate::core::{Core, Host, HostHandler, Request};
use crate::snapshot;
use command::spec::{Argument, ArgumentKind};
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};
use resp::number::parse_i64;

const ROW: Spec = Spec {
    group: "server",
    ..Spec::DEFAULT
};

static TIME: Spec = Spec {
    name: "time",
    since: "2.6.0",
    arity: 1,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    tips: &["nondeterministic_output"],
    summary: "Answers the server's time: Unix seconds, and microseconds of the second.",
    ..ROW
};

static ROLE: Spec = Spec {
    name: "role",
    since: "2.8.12",
    arity: 1,
    flags: Flags::NOSCRIPT
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::FAST),
    categories: &["admin", "dangerous"],
    summary: "Answers the server's part in replication.",
    ..ROW
};

static SHUTDOWN: Spec = Spec {
    name: "shutdown",
    arity: -1,
    flags: Flags::ADMIN
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::NO_MULTI)
        .or(Flags::ALLOW_BUSY),
    summary: "Ends the server.",
    arguments: &[
        Argument::one_of(
            "save-selector",
            &[
                Argument::token("nosave", "NOSAVE"),
                Argument::token("save", "SAVE"),
            ],
        )
        .optional(),
        Argument::token("now", "NOW").optional().since("7.0.0"),
        Argument::token("force", "FORCE").optional().since("7.0.0"),
        Argument::token("abort", "ABORT").optional().since("7.0.0"),
    ],
    history: &[("7.0.0", "Takes `NOW`, `FORCE` and `ABORT`.")],
    ..ROW
};

static LOLWUT: Spec = Spec {
    name: "lolwut",
    since: "5.0.0",
    arity: -1,
    flags: Flags::READONLY.or(Flags::FAST),
    summary: "Draws something, and says which version drew it.",
    complexity: "O(N) in the size of the drawing",
    arguments: &[
        Argument::new("version", ArgumentKind::Integer)
            .with_token("VERSION")
            .optional(),
        Argument::new("columns", ArgumentKind::Integer).optional(),
        Argument::new("rows", ArgumentKind::Integer).optional(),
    ],
    ..ROW
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![
        Row::command(&TIME, time),
        Row::command(&ROLE, role),
        Row::command(&SHUTDOWN, shutdown),
        Row::command(&LOLWUT, lolwut),
    ]
}

fn time(host: &mut Host<'_>) -> Outcome {
    let now_us = Core::clock_us();
    host.reply.array(2);
    host.reply.bulk_int(now_us / 1_000_000);
    host.reply.bulk_int(now_us % 1_000_000);
    Ok(Effect::Read)
}

fn role(host: &mut Host<'_>) -> Outcome {
    host.reply.array(3);
    host.reply.bulk(b"master");
    // The offset, and no replicas.
    host.reply.int(0);
    host.reply.array(0);
    Ok(Effect::Read)
}

/// What SHUTDOWN has been asked to do.
#[derive(Default)]
struct Ending {
    save: bool,
    no_save: bool,
    /// Do not wait for replicas, of which there are none.
    now: bool,
    force: bool,
    abort: bool,
}

fn shutdown(host: &mut Host<'_>) -> Outcome {
    let mut ending = Ending::default();
    for word in host.args.from(1).iter() {
        let flag = match word.to_ascii_lowercase().as_slice() {
            b"save" => &mut ending.save,
            b"nosave" => &mut ending.no_save,
            b"now" => &mut ending.now,
            b"force" => &mut ending.force,
            b"abort" => &mut ending.abort,
            _ => return Err(Error::SYNTAX),
        };
        *flag = true;
    }
    let others = ending.save || ending.no_save || ending.now || ending.force;
    if ending.save && ending.no_save || ending.abort && others {
        return Err(Error::SYNTAX);
    }
    if ending.abort {
        // An end that has begun takes no more commands.
        return Err(Error::new("ERR No shutdown in progress."));
    }
    let how = match (ending.save, ending.no_save) {
        (true, _) => snapshot::Ending::Save,
        (_, true) => snapshot::Ending::NoSave,
        _ => snapshot::Ending::Usual,
    };
    match snapshot::prepare_end(host.core, how) {
        Err(error) if !ending.force => return Err(error),
        _ => {}
    }
    host.core.requests.push(Request::Shutdown);
    Ok(Effect::Read)
}

/// Size of a drawing, and the largest that is drawn.
const COLUMNS: i64 = 60;
const COLUMNS_MAX: i64 = 160;
const ROWS: i64 = 12;
const ROWS_MAX: i64 = 60;

fn lolwut(host: &mut Host<'_>) -> Outcome {
    let number = |i: usize| parse_i64(host.args.get(i)).ok_or(Error::NOT_INTEGER);
    let has_version = host.args.len() > 2 && host.args.is(1, "version");
    if has_version {
        // Every version is drawn the same way, but it must be one.
        number(2)?;
    }
    let first = if has_version { 3 } else { 1 };
    let mut size = [COLUMNS, ROWS];
    for (i, (value, max)) in size.iter_mut().zip([COLUMNS_MAX, ROWS_MAX]).enumerate() {
        if first + i < host.args.len() {
            *value = number(first + i)?.clamp(1, max);
        }
    }
    let shard = &mut host.core.shard;
    let mut drawing = draw(size[0] as usize, size[1] as usize, || shard.random());
    let version = env!("CARGO_PKG_VERSION");
    let redis = super::REDIS_VERSION;
    drawing.push_str(&format!(
        "\nA shoal goes where its fish go. Redis ver. {redis} (Shoal {version})\n"
    ));
    host.reply.verbatim(b"txt", drawing.as_bytes());
    Ok(Effect::Read)
}

/// A shoal under water: fish of a few kinds, most of which swim the same way, dense in the middle.
fn draw(columns: usize, rows: usize, mut random: impl FnMut() -> u64) -> String {
    const RIGHT: [&str; 4] = ["><>", "><))'>", "}><(('>", "-=>"];
    const LEFT: [&str; 4] = ["<><", "<'((><", "<'))><{", "<=-"];
    let mut below = |n: usize| (random() >> 32) as usize % n.max(1);
    let (shoal, strays) = match below(2) {
        0 => (RIGHT, LEFT),
        _ => (LEFT, RIGHT),
    };
    let surface = (0..columns).map(|_| b"~~~-"[below(4)]).collect();
    let mut picture: Vec<Vec<u8>> = vec![surface];
    picture.resize(rows, vec![b' '; columns]);
    for _ in 0..columns * rows / 20 {
        let kinds = if below(12) == 0 { strays } else { shoal };
        let fish = kinds[below(kinds.len())].as_bytes();
        // The sum of two dice favours the middle.
        let row = 1 + (below(rows) + below(rows)) / 2;
        let column = (below(columns) + below(columns)) / 2;
        let place = picture
            .get_mut(row)
            .and_then(|line| line.get_mut(column..column + fish.len()));
        if let Some(place) = place
            && place.iter().all(|c| *c == b' ')
        {
            place.copy_from_slice(fish);
        }
    }
    let mut text = String::new();
    for line in picture {
        text.push_str(String::from_utf8_lossy(&line).trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_have_the_size_asked_for() {
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state
        };
        for (columns, rows) in [(1, 1), (2, 60), (160, 2), (60, 12)] {
            let text = draw(columns, rows, &mut random);
            assert_eq!(text.lines().count(), rows);
            assert!(text.lines().all(|l| l.len() <= columns), "{text}");
        }
        assert!(draw(60, 12, &mut random).contains(['<', '>']));
    }
}
