//! Searches around a place: GEOSEARCH and GEOSEARCHSTORE, and the older GEORADIUS and its kin.
//!
//! All of them are one search with other arguments. They are read in the order in which Redis
//! complains about them, the key's type first, because FROMMEMBER needs the key.

use super::cell::{Cell, Place, signed};
use super::shape::{Figure, Shape};
use super::{KEY, LATITUDE, LONGITUDE, READ, UNIT};
use super::{double, place, reply_distance, reply_place, unit};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{Begin, KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Deprecated, Effect, Flags, Form};
use crate::spec::{Outcome, Spec, Unspecified, Weight};
use crate::string::wrote;
use resp::number::parse_i64;
use resp::{Args, Reply};
use std::cmp::Ordering;
use std::ops::Range;
use store::shard::Expiry;
use store::zset::{Between, Direction, End, Zset};
use store::{Class, Element, Look};

const STORE: KeyFlags = KeyFlags::OW.or(KeyFlags::UPDATE);
const RADIUS_COMPLEXITY: &str = "O(N+log(M)) with N the number of places in the bounding box of the circle and M that of the whole index.";
const SEARCH_COMPLEXITY: &str = "O(N+log(M)) with N the number of places in the cells around the shape and M that of the whole index.";

const RADIUS: Argument = Argument::new("radius", Kind::Double);
const WITH_COORD: Argument = Argument::token("withcoord", "WITHCOORD").optional();
const WITH_DIST: Argument = Argument::token("withdist", "WITHDIST").optional();
const WITH_HASH: Argument = Argument::token("withhash", "WITHHASH").optional();
const COUNT: Argument = Argument::block(
    "count-block",
    &[
        Argument::new("count", Kind::Integer).with_token("COUNT"),
        Argument::token("any", "ANY").optional(),
    ],
)
.optional();
const COUNT_SINCE: Argument = Argument::block(
    "count-block",
    &[
        Argument::new("count", Kind::Integer).with_token("COUNT"),
        Argument::token("any", "ANY").optional().since("6.2.0"),
    ],
)
.optional();
const ORDER: Argument = Argument::one_of(
    "order",
    &[
        Argument::token("asc", "ASC"),
        Argument::token("desc", "DESC"),
    ],
)
.optional();
const STORE_KEYS: Argument = Argument::one_of(
    "store",
    &[
        Argument::key("storekey", 1).with_token("STORE"),
        Argument::key("storedistkey", 2).with_token("STOREDIST"),
    ],
)
.optional();
const FROM: Argument = Argument::one_of(
    "from",
    &[
        Argument::new("member", Kind::String).with_token("FROMMEMBER"),
        Argument::block("fromlonlat", &[LONGITUDE, LATITUDE]).with_token("FROMLONLAT"),
    ],
);
const BY: Argument = Argument::one_of(
    "by",
    &[
        Argument::block("circle", &[RADIUS.with_token("BYRADIUS"), UNIT]),
        Argument::block(
            "box",
            &[
                Argument::new("width", Kind::Double).with_token("BYBOX"),
                Argument::new("height", Kind::Double),
                UNIT,
            ],
        ),
        Argument::block(
            "polygon",
            &[
                Argument::new("num-vertices", Kind::Integer).with_token("BYPOLYGON"),
                Argument::block("vertices", &[LONGITUDE, LATITUDE]).multiple(),
            ],
        )
        .since("9.0.0"),
    ],
);

const RADIUS_HISTORY: &[(&str, &str)] = &[
    ("6.2.0", "ANY, for COUNT."),
    ("7.0.0", "Units in capital letters."),
];
const SEARCH_HISTORY: &[(&str, &str)] = &[
    ("7.0.0", "Units in capital letters."),
    ("9.0.0", "BYPOLYGON."),
];

/// The key after a word of the arguments from `from` on.
const fn key_after(word: &'static str, from: i32) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword(word, from),
        ..KeySpec::one(0, STORE)
    }
}

/// The commands that search, which differ in their first arguments and in what may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// With or without STORE and STOREDIST.
    Radius {
        stores: bool,
    },
    RadiusByMember {
        stores: bool,
    },
    Search,
    SearchStore,
}

impl Name {
    fn is_search(self) -> bool {
        matches!(self, Name::Search | Name::SearchStore)
    }

    /// The first argument that may be an option.
    fn first_option(self) -> usize {
        match self {
            Name::Radius { .. } => 6,
            Name::RadiusByMember { .. } => 5,
            Name::Search => 2,
            Name::SearchStore => 3,
        }
    }
}

/// Where GEORADIUS and GEORADIUSBYMEMBER store: the last one named counts.
fn destination(args: Args<'_>, mut i: usize) -> Unspecified {
    let mut destination = None;
    while i + 1 < args.len() {
        if args.is(i, "STORE") || args.is(i, "STOREDIST") {
            destination = Some(i + 1);
            i += 1;
        } else if args.is(i, "COUNT") {
            i += 1;
        }
        i += 1;
    }
    Unspecified {
        destination,
        any_key: false,
        searches: false,
    }
}

pub const GEORADIUS: Command = Command {
    spec: Spec {
        name: "georadius",
        group: "geo",
        since: "3.2.0",
        arity: -6,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, READ),
            key_after("STORE", 6),
            key_after("STOREDIST", 6),
        ],
        unspecified: Some(|args| destination(args, 6)),
        summary: "Finds or stores the places within a distance from coordinates.",
        complexity: RADIUS_COMPLEXITY,
        arguments: &[
            KEY,
            LONGITUDE,
            LATITUDE,
            RADIUS,
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT_SINCE,
            ORDER,
            STORE_KEYS,
        ],
        history: RADIUS_HISTORY,
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        }),
        weight: Weight::Of(|ctx| weight(ctx, Name::Radius { stores: true })),
        ..Spec::DEFAULT
    },
    form: Form::Gather(georadius, None),
};

fn georadius(ctx: &mut Context<'_>) -> Outcome {
    search(ctx, Name::Radius { stores: true })
}

pub const GEORADIUS_RO: Command = Command {
    spec: Spec {
        name: "georadius_ro",
        group: "geo",
        since: "3.2.10",
        arity: -6,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Finds the places within a distance from coordinates.",
        complexity: RADIUS_COMPLEXITY,
        arguments: &[
            KEY,
            LONGITUDE,
            LATITUDE,
            RADIUS,
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT_SINCE,
            ORDER,
        ],
        history: RADIUS_HISTORY,
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`GEOSEARCH` with the `BYRADIUS` argument",
        }),
        weight: Weight::Of(|ctx| weight(ctx, Name::Radius { stores: false })),
        ..Spec::DEFAULT
    },
    form: Form::Local(georadius_ro),
};

fn georadius_ro(ctx: &mut Context<'_>) -> Outcome {
    search(ctx, Name::Radius { stores: false })
}

pub const GEORADIUSBYMEMBER: Command = Command {
    spec: Spec {
        name: "georadiusbymember",
        group: "geo",
        since: "3.2.0",
        arity: -5,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, READ),
            key_after("STORE", 5),
            key_after("STOREDIST", 5),
        ],
        unspecified: Some(|args| destination(args, 5)),
        summary: "Finds or stores the places within a distance from one of them.",
        complexity: RADIUS_COMPLEXITY,
        arguments: &[
            KEY,
            Argument::new("member", Kind::String),
            RADIUS,
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT,
            ORDER,
            STORE_KEYS,
        ],
        history: RADIUS_HISTORY,
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        }),
        weight: Weight::Of(|ctx| weight(ctx, Name::RadiusByMember { stores: true })),
        ..Spec::DEFAULT
    },
    form: Form::Gather(georadiusbymember, None),
};

fn georadiusbymember(ctx: &mut Context<'_>) -> Outcome {
    search(ctx, Name::RadiusByMember { stores: true })
}

pub const GEORADIUSBYMEMBER_RO: Command = Command {
    spec: Spec {
        name: "georadiusbymember_ro",
        group: "geo",
        since: "3.2.10",
        arity: -5,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Finds the places within a distance from one of them.",
        complexity: RADIUS_COMPLEXITY,
        arguments: &[
            KEY,
            Argument::new("member", Kind::String),
            RADIUS,
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT,
            ORDER,
        ],
        history: RADIUS_HISTORY,
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
        }),
        weight: Weight::Of(|ctx| weight(ctx, Name::RadiusByMember { stores: false })),
        ..Spec::DEFAULT
    },
    form: Form::Local(georadiusbymember_ro),
};

fn georadiusbymember_ro(ctx: &mut Context<'_>) -> Outcome {
    search(ctx, Name::RadiusByMember { stores: false })
}

pub const GEOSEARCH: Command = Command {
    spec: Spec {
        name: "geosearch",
        group: "geo",
        since: "6.2.0",
        arity: -7,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Finds the places within a circle, a box or a polygon.",
        complexity: SEARCH_COMPLEXITY,
        arguments: &[
            KEY,
            FROM.optional(),
            BY,
            ORDER,
            COUNT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
        ],
        history: SEARCH_HISTORY,
        weight: Weight::Of(|ctx| weight(ctx, Name::Search)),
        ..Spec::DEFAULT
    },
    form: Form::Local(geosearch),
};

fn geosearch(ctx: &mut Context<'_>) -> Outcome {
    search(ctx, Name::Search)
}

pub const GEOSEARCHSTORE: Command = Command {
    spec: Spec {
        name: "geosearchstore",
        group: "geo",
        since: "6.2.0",
        arity: -8,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::one(1, STORE), KeySpec::one(2, READ)],
        summary: "Stores the places within a circle, a box or a polygon in another key.",
        complexity: SEARCH_COMPLEXITY,
        arguments: &[
            Argument::key("destination", 0),
            Argument::key("source", 1),
            FROM.optional(),
            BY,
            ORDER,
            COUNT,
            Argument::token("storedist", "STOREDIST").optional(),
        ],
        history: SEARCH_HISTORY,
        weight: Weight::Of(|ctx| weight(ctx, Name::SearchStore)),
        ..Spec::DEFAULT
    },
    form: Form::Gather(geosearchstore, None),
};

fn geosearchstore(ctx: &mut Context<'_>) -> Outcome {
    search(ctx, Name::SearchStore)
}

/// What the arguments ask for.
#[derive(Default)]
struct Query {
    center: Option<Place>,
    /// The centre is a member's place, which is not known if there is no key.
    by_member: bool,
    figure: Option<Figure>,
    /// Metres.
    unit: f64,
    /// Results at most; 0: all.
    count: usize,
    /// Any of them will do, and not the nearest ones.
    any: bool,
    order: Option<Order>,
    with_distance: bool,
    with_score: bool,
    with_place: bool,
    /// The argument that names the key for the results.
    destination: Option<usize>,
    stores_distance: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// A place that was found.
struct Found<'a> {
    member: Element<'a>,
    place: Place,
    score: f64,
    /// Metres.
    distance: f64,
    /// How many were found before, which is the order among equally distant ones.
    at: usize,
}

fn place_of_member(zset: &Zset, member: &[u8]) -> Result<Place, Error> {
    let score = zset.score(member);
    let error = Error::new("ERR could not decode requested zset member");
    score.map(Place::of_score).ok_or(error)
}

impl Query {
    fn read(args: Args<'_>, name: Name, zset: Option<&Zset>) -> Result<Query, Error> {
        let mut query = Query::default();
        match (name, zset) {
            (Name::Radius { .. }, _) => {
                query.center = Some(place(args, 2)?);
                query.radius(args, 4)?;
            }
            (Name::RadiusByMember { .. }, Some(zset)) => {
                query.center = Some(place_of_member(zset, args.get(2))?);
                query.radius(args, 3)?;
            }
            (Name::RadiusByMember { .. }, None) | (Name::Search, _) => {}
            (Name::SearchStore, _) => query.destination = Some(1),
        }
        let mut i = name.first_option();
        while i < args.len() {
            i += 1 + query.option(args, i, name, zset)?;
        }
        query.check(args, name)?;
        Ok(query)
    }

    /// Reads the option at argument `i`; answers how many arguments belong to it.
    fn option(
        &mut self,
        args: Args<'_>,
        i: usize,
        name: Name,
        zset: Option<&Zset>,
    ) -> Result<usize, Error> {
        let has = |n: usize| args.len() - i > n;
        let is = |word: &str| args.is(i, word);
        let stores = matches!(
            name,
            Name::Radius { stores: true } | Name::RadiusByMember { stores: true }
        );
        if is("WITHDIST") {
            self.with_distance = true;
        } else if is("WITHHASH") {
            self.with_score = true;
        } else if is("WITHCOORD") {
            self.with_place = true;
        } else if is("ANY") {
            self.any = true;
        } else if is("ASC") {
            self.order = Some(Order::Ascending);
        } else if is("DESC") {
            self.order = Some(Order::Descending);
        } else if is("COUNT") && has(1) {
            let count = parse_i64(args.get(i + 1)).ok_or(Error::NOT_INTEGER)?;
            let count = usize::try_from(count).ok().filter(|count| *count > 0);
            self.count = count.ok_or(Error::new("ERR COUNT must be > 0"))?;
            return Ok(1);
        } else if stores && (is("STORE") || is("STOREDIST")) && has(1) {
            self.destination = Some(i + 1);
            self.stores_distance = is("STOREDIST");
            return Ok(1);
        } else if is("STOREDIST") && name == Name::SearchStore {
            self.stores_distance = true;
        } else if name.is_search() {
            return self.shape_option(args, i, zset);
        } else {
            return Err(Error::SYNTAX);
        }
        Ok(0)
    }

    /// [`Query::option`] for what GEOSEARCH has: where, and which shape.
    fn shape_option(
        &mut self,
        args: Args<'_>,
        i: usize,
        zset: Option<&Zset>,
    ) -> Result<usize, Error> {
        let has = |n: usize| args.len() - i > n;
        let is = |word: &str| args.is(i, word);
        let may_be =
            |figure: &Option<Figure>, same: fn(&Figure) -> bool| figure.as_ref().is_none_or(same);
        let is_polygon = matches!(self.figure, Some(Figure::Polygon(_)));
        let by_coordinates = self.center.is_some() && !self.by_member;
        if is("FROMMEMBER") && has(1) && !by_coordinates && !is_polygon {
            self.by_member = true;
            if let Some(zset) = zset {
                self.center = Some(place_of_member(zset, args.get(i + 1))?);
            }
            return Ok(1);
        }
        if is("FROMLONLAT") && has(2) && !self.by_member && !is_polygon {
            self.center = Some(place(args, i + 1)?);
            return Ok(2);
        }
        if is("BYRADIUS") && has(2) && may_be(&self.figure, |f| matches!(f, Figure::Circle { .. }))
        {
            self.radius(args, i + 1)?;
            return Ok(2);
        }
        if is("BYBOX") && has(3) && may_be(&self.figure, |f| matches!(f, Figure::Box { .. })) {
            self.sides(args, i + 1)?;
            return Ok(3);
        }
        let is_free = self.center.is_none() && !self.by_member;
        if is("BYPOLYGON")
            && has(2)
            && is_free
            && may_be(&self.figure, |f| matches!(f, Figure::Polygon(_)))
        {
            return self.vertices(args, i + 1);
        }
        Err(Error::SYNTAX)
    }

    fn radius(&mut self, args: Args<'_>, i: usize) -> Result<(), Error> {
        let radius = double(args.get(i)).ok_or(Error::new("ERR need numeric radius"))?;
        if radius < 0.0 {
            return Err(Error::new("ERR radius cannot be negative"));
        }
        self.unit = unit(args, i + 1)?;
        self.figure = Some(Figure::Circle { radius });
        Ok(())
    }

    fn sides(&mut self, args: Args<'_>, i: usize) -> Result<(), Error> {
        let width = double(args.get(i)).ok_or(Error::new("ERR need numeric width"))?;
        let height = double(args.get(i + 1)).ok_or(Error::new("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(Error::new("ERR height or width cannot be negative"));
        }
        self.unit = unit(args, i + 2)?;
        self.figure = Some(Figure::Box { width, height });
        Ok(())
    }

    /// A polygon: how many vertices at argument `i`, and their coordinates behind it. Answers how many
    /// arguments that are.
    fn vertices(&mut self, args: Args<'_>, i: usize) -> Result<usize, Error> {
        let invalid = Error::new("ERR invalid number of vertices");
        let count = parse_i64(args.get(i)).and_then(|count| i32::try_from(count).ok());
        let count = usize::try_from(count.ok_or(invalid)?).unwrap_or(0);
        if count < 3 || args.len() - i - 1 < 2 * count {
            return Err(Error::new(
                "ERR GEOSEARCH BYPOLYGON must have at least 3 vertices",
            ));
        }
        let vertices = (0..count).map(|n| place(args, i + 1 + 2 * n));
        self.figure = Some(Figure::Polygon(vertices.collect::<Result<_, _>>()?));
        self.unit = 1.0;
        Ok(1 + 2 * count)
    }

    /// Refuses what does not go together.
    fn check(&self, args: Args<'_>, name: Name) -> Result<(), Error> {
        if self.destination.is_some() && (self.with_distance || self.with_score || self.with_place)
        {
            let what = match name {
                Name::SearchStore => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            return Err(Error::new(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let is_polygon = matches!(self.figure, Some(Figure::Polygon(_)));
        let has_center = self.center.is_some() || self.by_member || is_polygon;
        let missing = |what| Error::showing(what, args.get(0), "");
        if name.is_search() && !has_center {
            return Err(missing(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ",
            ));
        }
        if name.is_search() && self.figure.is_none() {
            return Err(missing(
                "ERR exactly one of BYRADIUS and BYBOX can be specified for ",
            ));
        }
        if self.any && self.count == 0 {
            return Err(Error::new("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    fn shape(&self) -> Shape {
        match &self.figure {
            Some(Figure::Polygon(vertices)) => Shape::polygon(vertices.clone()),
            figure => Shape {
                figure: figure.clone().unwrap_or(Figure::Circle { radius: 0.0 }),
                center: self.center.unwrap_or_default(),
                unit: self.unit,
            },
        }
    }

    /// The places to answer, in order.
    fn find<'z>(&self, zset: &'z Zset, shape: &Shape) -> Vec<Found<'z>> {
        let enough = if self.any { self.count } else { usize::MAX };
        let mut found = Vec::new();
        for cell in shape.cells() {
            let ranks = ranks(zset, cell);
            for (member, score) in zset.range(ranks.start, ranks.len(), Direction::Up) {
                if found.len() == enough {
                    break;
                }
                let place = Place::of_score(score);
                if let Some(distance) = shape.distance_inside(place) {
                    found.push(Found {
                        member,
                        place,
                        score,
                        distance,
                        at: found.len(),
                    });
                }
            }
        }
        self.arrange(&mut found);
        found
    }

    /// Brings what was found into order, and leaves as many as are asked for.
    fn arrange(&self, found: &mut Vec<Found<'_>>) {
        let nearest = self.count > 0 && !self.any;
        let count = if self.count == 0 {
            found.len()
        } else {
            self.count
        };
        let order = self.order.or(nearest.then_some(Order::Ascending));
        if let Some(order) = order {
            let compare = |a: &Found<'_>, b: &Found<'_>| -> Ordering {
                let distances = a.distance.total_cmp(&b.distance);
                let distances = match order {
                    Order::Ascending => distances,
                    Order::Descending => distances.reverse(),
                };
                distances.then(a.at.cmp(&b.at))
            };
            if count < found.len() {
                found.select_nth_unstable_by(count, compare);
                found.truncate(count);
            }
            found.sort_unstable_by(compare);
        }
        found.truncate(count);
    }

    fn reply(&self, reply: &mut Reply, found: &[Found<'_>]) {
        let more = [self.with_distance, self.with_score, self.with_place];
        let more = more.into_iter().filter(|with| *with).count();
        reply.array(found.len());
        for found in found {
            if more > 0 {
                reply.array(1 + more);
            }
            Context::reply_element(reply, found.member);
            if self.with_distance {
                reply_distance(reply, found.distance / self.unit);
            }
            if self.with_score {
                reply.int(signed(found.score));
            }
            if self.with_place {
                reply_place(reply, found.place);
            }
        }
    }
}

/// Where the places of a cell are in an index.
fn ranks(zset: &Zset, cell: Cell) -> Range<usize> {
    let (first, next) = cell.scores();
    zset.by_score(&Between {
        min: End::Included(first),
        max: End::Excluded(next),
    })
}

/// How many places a search has to look at.
fn weight(ctx: &mut Context<'_>, name: Name) -> usize {
    let source = ctx.key(if name == Name::SearchStore { 2 } else { 1 });
    let Ok(Some(zset)) = ctx.shard.read::<Zset>(ctx.db, source, Look::Peek) else {
        return 0;
    };
    let Ok(query) = Query::read(ctx.args, name, Some(&zset)) else {
        return 0;
    };
    let cells = query.shape().cells().into_iter();
    cells.map(|cell| ranks(&zset, cell).len()).sum()
}

fn search(ctx: &mut Context<'_>, name: Name) -> Outcome {
    let source = ctx.key(if name == Name::SearchStore { 2 } else { 1 });
    let args = ctx.args;
    let zset = ctx.shard.read::<Zset>(ctx.db, source, Look::Use)?;
    let query = Query::read(args, name, zset.as_deref())?;
    let shape = query.shape();
    let found = match &zset {
        Some(zset) => query.find(zset, &shape),
        None => Vec::new(),
    };
    let Some(destination) = query.destination else {
        query.reply(ctx.reply, &found);
        return Ok(Effect::Read);
    };
    let score = |found: &Found<'_>| match query.stores_distance {
        true => found.distance / query.unit,
        false => found.score,
    };
    let elements = found.iter().map(|f| (f.member.text().into(), score(f)));
    let elements: Vec<(Box<[u8]>, f64)> = elements.collect();
    drop(found);
    let destination = ctx.key(destination);
    ctx.reply.int(elements.len() as i64);
    if elements.is_empty() {
        return Ok(wrote(ctx.delete(destination)));
    }
    let stored = Zset::collect(elements, &ctx.settings.limits);
    ctx.shard.put(ctx.db, destination, stored, Expiry::Clear);
    let event = match name {
        Name::SearchStore => "geosearchstore",
        _ => "georadiusstore",
    };
    ctx.notify(Class::ZSET, event, destination);
    Ok(Effect::Wrote)
}
