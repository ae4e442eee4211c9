//! Commands made up at random: mostly such as a client would send, some that no client should.
//!
//! The key space is small, so that commands meet one another's keys; numbers come from the edges at
//! which implementations differ. Everything is bounded: no offset makes a string longer than a few
//! hundred kilobytes. To have a new command generated, add it to [`TEMPLATES`].

use harness::{Program, Seed};

pub type Command = Vec<Vec<u8>>;

/// Command templates. A word in lower case names a kind of argument (see [`argument`]); other words
/// stand for themselves. `[…]` may be left out, `(a|b)` is one of the words, `kind+` is one or more.
const TEMPLATES: &[&str] = &[
    "SET key value",
    "SET key value [(NX|XX)] [GET] [expiry]",
    "SET key value [expiry] [(NX|XX)] [KEEPTTL]",
    "SET key value option option option",
    "SETNX key value",
    "SETEX key seconds value",
    "PSETEX key millis value",
    "GET key",
    "GET key",
    "GETSET key value",
    "GETDEL key",
    "GETEX key [expiry]",
    "GETEX key PERSIST",
    "GETEX key option option",
    "MGET key+",
    "MSET pair+",
    "MSETNX pair+",
    "APPEND key value",
    "STRLEN key",
    "GETRANGE key index index",
    "SUBSTR key index index",
    "SETRANGE key offset value",
    "INCR key",
    "DECR key",
    "INCRBY key integer",
    "DECRBY key integer",
    "INCRBYFLOAT key float",
    "LCS key key [LEN] [IDX] [MINMATCHLEN index] [WITHMATCHLEN]",
    "SETBIT key bit zero-or-one",
    "GETBIT key bit",
    "BITCOUNT key",
    "BITCOUNT key index index [(BYTE|BIT)]",
    "BITPOS key zero-or-one [index]",
    "BITPOS key zero-or-one index index [(BYTE|BIT)]",
    "BITOP (AND|OR|XOR) key key+",
    "BITOP NOT key key",
    "BITFIELD key field+",
    "BITFIELD_RO key GET field-type field-offset",
    "LPUSH list element+",
    "RPUSH list element+",
    "RPUSH list element+",
    "LPUSHX list element+",
    "RPUSHX list element+",
    "LPOP list [index]",
    "RPOP list [index]",
    "LLEN list",
    "LRANGE list index index",
    "LINDEX list index",
    "LSET list index element",
    "LREM list index element",
    "LTRIM list index index",
    "LINSERT list (BEFORE|AFTER) element element",
    "LPOS list element [RANK index] [COUNT index] [MAXLEN index]",
    "LMOVE list list (LEFT|RIGHT) (LEFT|RIGHT)",
    "RPOPLPUSH list list",
    "LMPOP 1 list (LEFT|RIGHT) [COUNT index]",
    "LMPOP 2 list list (LEFT|RIGHT) [COUNT index]",
    "LMPOP integer list list (LEFT|RIGHT)",
    "SADD set member+",
    "SADD set member+",
    "SADD set members",
    "SREM set member+",
    "SISMEMBER set member",
    "SMISMEMBER set member+",
    "SCARD set",
    "SMEMBERS set",
    "SMOVE set set member",
    "SPOP set (0|-1|1000000)",
    "SRANDMEMBER set",
    "SRANDMEMBER set (0|1|3|100|-1|-7|abc)",
    "SINTER set+",
    "SUNION set+",
    "SDIFF set+",
    "SINTERCARD 2 set set [LIMIT index]",
    "SINTERCARD index set+",
    "SINTERSTORE set set+",
    "SUNIONSTORE set set+",
    "SDIFFSTORE set set+",
    "SSCAN set 0 [COUNT 1000] [MATCH pattern]",
    "SSCAN set integer COUNT integer",
    "ZADD zset scored+",
    "ZADD zset [(NX|XX)] [(GT|LT)] [CH] scored+",
    "ZADD zset [(NX|XX|GT|LT)] INCR scored",
    "ZADD zset zoption zoption scored+",
    "ZINCRBY zset score member",
    "ZREM zset member+",
    "ZSCORE zset member",
    "ZMSCORE zset member+",
    "ZCARD zset",
    "ZCOUNT zset score-end score-end",
    "ZRANK zset member",
    "ZREVRANK zset member",
    "ZRANGE zset index index [REV] [WITHSCORES]",
    "ZRANGE zset score-end score-end BYSCORE [REV] [LIMIT index index] [WITHSCORES]",
    "ZRANGE zset zoption zoption zoption zoption",
    "ZREVRANGE zset index index [WITHSCORES]",
    "ZRANGEBYSCORE zset score-end score-end [WITHSCORES] [LIMIT index index]",
    "ZREVRANGEBYSCORE zset score-end score-end [WITHSCORES] [LIMIT index index]",
    "ZRANGESTORE zset zset index index [REV]",
    "ZRANGESTORE zset zset score-end score-end BYSCORE [REV] [LIMIT index index]",
    "ZREMRANGEBYRANK zset index index",
    "ZREMRANGEBYSCORE zset score-end score-end",
    "ZPOPMIN zset [index]",
    "ZPOPMAX zset [index]",
    "ZMPOP 2 zset zset (MIN|MAX) [COUNT index]",
    "ZUNION 2 zset zset [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]",
    "ZUNIONSTORE zset 2 zset zset [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)]",
    "ZINTER 2 zset zset [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]",
    "ZINTERSTORE zset 2 zset zset [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)]",
    "ZINTERCARD 2 zset zset [LIMIT index]",
    "ZDIFF 2 zset zset [WITHSCORES]",
    "ZDIFFSTORE zset index zset zset zset",
    "ZSCAN zset 0 [COUNT 1000] [MATCH pattern]",
    "XADD stream new-id named+",
    "XADD stream new-id named",
    "XADD stream [NOMKSTREAM] MAXLEN [(=|~)] index [LIMIT index] new-id named",
    "XADD stream MINID [(=|~)] stream-id new-id named",
    "XADD stream option option new-id named",
    "XLEN stream",
    "XRANGE stream range-end range-end [COUNT index]",
    "XREVRANGE stream range-end range-end [COUNT index]",
    "XRANGE stream - +",
    "XDEL stream stream-id+",
    "XTRIM stream MAXLEN [(=|~)] index [LIMIT index]",
    "XTRIM stream MINID [(=|~)] stream-id",
    "XSETID stream stream-id [ENTRIESADDED index] [MAXDELETEDID stream-id]",
    "XREAD [COUNT index] STREAMS stream stream-id",
    "XREAD [COUNT index] STREAMS stream stream stream-id stream-id",
    "XGROUP CREATE stream (g|h) (0|$) [MKSTREAM] [ENTRIESREAD index]",
    "XGROUP CREATE stream (g|h) stream-id [MKSTREAM]",
    "XGROUP SETID stream (g|h) stream-id [ENTRIESREAD index]",
    "XGROUP DESTROY stream (g|h)",
    "XGROUP CREATECONSUMER stream (g|h) (a|b|c)",
    "XGROUP DELCONSUMER stream (g|h) (a|b|c)",
    "XREADGROUP GROUP (g|h) (a|b|c) [COUNT index] [NOACK] STREAMS stream >",
    "XREADGROUP GROUP g (a|b|c) [COUNT index] STREAMS stream stream > >",
    "XREADGROUP GROUP (g|h) (a|b|c) [COUNT index] STREAMS stream stream-id",
    "XACK stream (g|h) stream-id+",
    "XPENDING stream (g|h)",
    "XPENDING stream (g|h) [IDLE (0|100000000)] range-end range-end index [(a|b|c)]",
    "XCLAIM stream (g|h) (a|b|c) (0|100000000) stream-id+ [TIME 1000] [FORCE] [JUSTID]",
    "XCLAIM stream g (a|b|c) 0 stream-id+ [RETRYCOUNT index] [LASTID stream-id] [IDLE 0]",
    "XAUTOCLAIM stream (g|h) (a|b|c) (0|100000000) range-end [COUNT index] [JUSTID]",
    "XINFO STREAM stream [FULL] [COUNT index]",
    "XINFO GROUPS stream",
    "XINFO CONSUMERS stream (g|h)",
    "PFADD key value+",
    "PFADD key [value]",
    "PFCOUNT key+",
    "PFCOUNT key",
    "PFMERGE key key+",
    "PFDEBUG (ENCODING|DECODE|TODENSE) key",
    "GEOADD key [(NX|XX)] [CH] spot+",
    "GEODIST key town town [unit]",
    "GEOPOS key town+",
    "GEOHASH key town+",
    "GEOSEARCH key FROMLONLAT corner BYRADIUS length unit [(ASC|DESC)] [WITHDIST] [WITHHASH]",
    "GEOSEARCH key FROMMEMBER town BYBOX length length unit [WITHCOORD] [COUNT index ANY]",
    "GEOSEARCHSTORE key key FROMMEMBER town BYRADIUS length unit [STOREDIST]",
    "GEORADIUS key corner length unit [(STORE|STOREDIST) key]",
    "GEORADIUSBYMEMBER key town length unit [(STORE|STOREDIST|WITHDIST) key]",
    "RPUSH sortable integer+",
    "RPUSH sortable value+",
    "MSET {s}w1 value {s}w-1 integer {s}w2 integer",
    "DEL sortable",
    "SORT sortable [LIMIT index index] [ALPHA] [(ASC|DESC)] [STORE sortable]",
    "SORT sortable [BY (nosort|{s}w*)] [ALPHA] [GET #] [GET {s}w*] [DESC]",
    "SORT_RO sortable [BY nosort] [LIMIT index index] [DESC] [ALPHA]",
    "HSET hash hash-pair+",
    "HSET hash hash-pair+",
    "HSET hash hash-pairs",
    "HMSET hash hash-pair+",
    "HSETNX hash hash-field value",
    "HGET hash hash-field",
    "HMGET hash hash-field+",
    "HGETALL hash",
    "HKEYS hash",
    "HVALS hash",
    "HLEN hash",
    "HSTRLEN hash hash-field",
    "HEXISTS hash hash-field",
    "HDEL hash hash-field+",
    "HINCRBY hash hash-field integer",
    "HINCRBYFLOAT hash hash-field float",
    "HRANDFIELD hash",
    "HRANDFIELD hash (0|1|3|100|-1|-7|abc) [WITHVALUES]",
    "HSCAN hash 0 [COUNT 1000] [MATCH pattern]",
    "HSCAN hash integer COUNT integer",
    "DEL key+",
    "DEL stream",
    "UNLINK key+",
    "EXISTS key+",
    "TOUCH key+",
    "TYPE key",
    "RENAME key key",
    "RENAMENX key key",
    "COPY key key [DB db] [REPLACE]",
    "MOVE key db",
    "SELECT db",
    "SWAPDB db db",
    "DBSIZE",
    "KEYS pattern",
    "SCAN 0 COUNT 1000 [MATCH pattern] [TYPE (string|list|set|hash|zset|stream)]",
    "SCAN integer COUNT integer",
    "RANDOMKEY",
    "EXPIRE key seconds [(NX|XX|GT|LT)]",
    "PEXPIRE key millis [(NX|XX|GT|LT)]",
    "EXPIREAT key unix-seconds [(NX|XX|GT|LT)]",
    "PEXPIREAT key unix-millis [(NX|XX|GT|LT)]",
    "EXPIREAT key unix-seconds option option",
    "TTL key",
    "PTTL key",
    "EXPIRETIME key",
    "PEXPIRETIME key",
    "PERSIST key",
    "OBJECT ENCODING key",
    "OBJECT REFCOUNT missing",
    "OBJECT IDLETIME key",
    "MEMORY USAGE key",
    "ECHO value",
    "PING [value]",
    "CLIENT SETNAME name",
    "CLIENT GETNAME",
    "HELLO protocol",
    "COMMAND GETKEYS (GET|SET|MSET|DEL|COPY|BITOP|PING) key+",
    "CONFIG GET (maxmemory|hz|timeout|nosuch*)",
    "FLUSHDB [(SYNC|ASYNC)]",
    "RESET",
];

/// Templates of commands and options that came after Redis 7.0, for the servers that have them.
const LATER: &[&str] = &[
    "SET key value IFEQ value [GET] [expiry]",
    "SET key value [expiry] IFEQ value [KEEPTTL]",
    "SET key value option IFEQ value option",
    "DELIFEQ key value",
    "MSETEX 1 pair [(NX|XX)] [expiry]",
    "MSETEX 2 pair pair [expiry] [(NX|XX)]",
    "MSETEX 2 pair pair [KEEPTTL] [option]",
    "MSETEX integer pair pair",
    "GEOSEARCH key BYPOLYGON 3 corner corner corner ASC [WITHDIST] [WITHCOORD]",
    "GEOSEARCH key BYPOLYGON 4 corner corner corner corner ASC [WITHHASH]",
];

/// Commands that came with Redis 8, of which Valkey has its own idea.
const LATER_REDIS: &[&str] = &[
    "HEXPIRE hash seconds [(NX|XX|GT|LT)] FIELDS 1 hash-field",
    "HPEXPIRE hash millis [(NX|XX|GT|LT)] FIELDS 2 hash-field hash-field",
    "HEXPIREAT hash unix-seconds [(NX|XX|GT|LT)] FIELDS 1 hash-field",
    "HPEXPIREAT hash unix-millis [(NX|XX|GT|LT)] FIELDS 2 hash-field hash-field",
    "HEXPIRE hash seconds option FIELDS integer hash-field",
    "HTTL hash FIELDS 3 hash-field hash-field hash-field",
    "HPTTL hash FIELDS 1 hash-field",
    "HEXPIRETIME hash FIELDS 1 hash-field",
    "HPEXPIRETIME hash FIELDS integer hash-field hash-field",
    "HPERSIST hash FIELDS 2 hash-field hash-field",
    "HGETDEL hash FIELDS 1 hash-field",
    "HGETDEL hash FIELDS integer hash-field hash-field",
    "HGETEX hash [expiry] FIELDS 2 hash-field hash-field",
    "HGETEX hash PERSIST FIELDS 1 hash-field",
    "HGETEX hash option FIELDS integer hash-field",
    "HSETEX hash [(FNX|FXX)] [expiry] FIELDS 2 hash-pair hash-pair",
    "HSETEX hash [(FNX|FXX)] [KEEPTTL] FIELDS 1 hash-pair",
    "HSETEX hash option option FIELDS integer hash-pair",
];

/// Whether a command, or an option of it, came after Redis 7.0.
pub fn is_later(command: &Command) -> bool {
    const LATER: &[&[u8]] = &[b"ifeq", b"delifeq", b"msetex", b"bypolygon"];
    let later = |word: &Vec<u8>| LATER.contains(&word.to_ascii_lowercase().as_slice());
    command.iter().any(later)
}

/// How seldom the commands are that empty a database or forget the connection's state.
const RARE: &[(&str, usize)] = &[("FLUSHDB", 20), ("RESET", 10), ("SWAPDB", 3), ("HELLO", 3)];

/// Commands that are generated with the counts of their templates only: without one, or with another,
/// what they leave is not known beforehand, or a real Redis goes on for ever.
const DRAWN: &[&str] = &["SPOP", "SRANDMEMBER", "HRANDFIELD"];

/// The first words of a template that name its command, in lower case: `object|encoding`.
fn name(template: &str) -> Vec<String> {
    let words: Vec<String> = template.split(' ').take(2).map(str::to_lowercase).collect();
    match words.as_slice() {
        [container, sub]
            if matches!(
                container.as_str(),
                "object" | "memory" | "client" | "command" | "config" | "xgroup" | "xinfo"
            ) =>
        {
            vec![container.clone(), format!("{container}|{sub}")]
        }
        [name, ..] => vec![name.clone()],
        [] => Vec::new(),
    }
}

pub struct Generator {
    seed: Seed,
    templates: Vec<&'static str>,
    /// The other server takes numbers such as 0x10.
    hexadecimal: bool,
}

impl Generator {
    /// Generates only commands that are known; an empty list knows all. What the program has that
    /// Redis 7.0 has not is added.
    pub fn new(seed: u64, known: &[String], program: Program) -> Generator {
        let is_known = |t: &&&str| known.is_empty() || name(t).iter().all(|n| known.contains(n));
        let mut templates: Vec<&str> = TEMPLATES.iter().filter(is_known).copied().collect();
        let later = match program {
            Program::Valkey => {
                // It lays strings out in its own way and names that.
                templates.retain(|template| !template.starts_with("OBJECT ENCODING"));
                // Nor does it sort by numbers what is none, as the empty text.
                templates.retain(|template| !template.starts_with("SORT "));
                LATER
            }
            Program::Redis8 => LATER_REDIS,
            Program::Redis7 | Program::Judged => &[],
        };
        // As often as all the others together.
        let later: Vec<&str> = later.iter().filter(is_known).copied().collect();
        while !later.is_empty() && templates.len() < 2 * TEMPLATES.len() {
            templates.extend(&later);
        }
        assert!(!templates.is_empty(), "the server has none of the commands");
        Generator {
            seed: Seed::new(seed),
            templates,
            hexadecimal: program != Program::Valkey,
        }
    }

    /// Names of the commands that could be generated and are not known.
    pub fn left_out(known: &[String]) -> Vec<String> {
        let mut names: Vec<String> = TEMPLATES.iter().filter_map(|t| name(t).pop()).collect();
        names.retain(|name| !known.is_empty() && !known.contains(name));
        names.sort();
        names.dedup();
        names
    }

    pub fn command(&mut self) -> Command {
        let seed = &mut self.seed;
        let template = loop {
            let template = *seed.pick(&self.templates);
            let rare = RARE.iter().find(|(name, _)| template.starts_with(name));
            if rare.is_none_or(|(_, n)| seed.one_in(*n)) {
                break template;
            }
        };
        let mut command = Command::new();
        let is_hexadecimal = |word: &[u8]| word.starts_with(b"0x") || word.starts_with(b"-0x");
        let mut optional = false;
        let mut skipped = false;
        for word in template.split(' ') {
            if word.starts_with('[') {
                optional = true;
                skipped = seed.one_in(2);
            }
            if !skipped {
                expand(seed, word.trim_matches(['[', ']']), &mut command);
            }
            if optional && word.ends_with(']') {
                optional = false;
                skipped = false;
            }
        }
        if seed.one_in(4) {
            command[0].make_ascii_lowercase();
        }
        let drawn = DRAWN.iter().any(|name| template.starts_with(name));
        if seed.one_in(25) && !drawn {
            spoil(seed, &mut command);
        }
        for word in command.iter_mut().filter(|word| is_hexadecimal(word)) {
            if !self.hexadecimal {
                *word = b"16".to_vec();
            }
        }
        // Of an index Redis 8 and Valkey take the lower half.
        let index = command
            .get(2)
            .and_then(|index| std::str::from_utf8(index).ok());
        let index = index.and_then(|index| index.parse::<i64>().ok());
        let is_wide = index.is_some_and(|index| i32::try_from(index).is_err());
        if command[0].eq_ignore_ascii_case(b"lset") && is_wide {
            command[2] = b"-1".to_vec();
        }
        // An id that depends on the time.
        if command[0].eq_ignore_ascii_case(b"xadd") {
            let words = command.iter_mut().filter(|word| *word == b"*");
            words.for_each(|word| *word = b"9-*".to_vec());
        }
        command
    }
}

/// Adds the words that a template's word stands for.
fn expand(seed: &mut Seed, word: &str, command: &mut Command) {
    if let Some(kind) = word.strip_suffix('+') {
        let most = if seed.one_in(20) { 40 } else { 4 };
        for _ in 0..1 + seed.below(most) {
            argument(seed, kind, command);
        }
    } else if let Some(words) = word.strip_prefix('(').and_then(|w| w.strip_suffix(')')) {
        let words: Vec<&str> = words.split('|').collect();
        let mut word = (*seed.pick(&words)).to_owned();
        if seed.one_in(4) {
            word.make_ascii_lowercase();
        }
        command.push(word.into_bytes());
    } else {
        argument(seed, word, command);
    }
}

/// Adds an argument of a kind, or the word itself.
fn argument(seed: &mut Seed, kind: &str, command: &mut Command) {
    let word: Vec<u8> = match kind {
        "key" => key(seed),
        "value" => value(seed),
        "list" | "set" | "zset" | "hash" => key_of(seed, kind),
        // Mostly few, so that they are found again.
        "element" => match seed.below(8) {
            0 => value(seed),
            1 => vec![b'e'; *seed.pick(&[63, 64, 1000, 4095, 4096, 8192, 8193])],
            _ => pick(
                seed,
                &["a", "b", "c", "1", "2", "-1", "4096", "70000", "01", ""],
            ),
        },
        "pair" => {
            command.push(key(seed));
            value(seed)
        }
        "member" => member(seed),
        "hash-field" => hash_field(seed),
        "hash-pair" => {
            command.push(hash_field(seed));
            value(seed)
        }
        "hash-pairs" => return hash_pairs(seed, command),
        "members" => return members(seed, command),
        "score" => score(seed),
        "scored" => {
            command.push(score(seed));
            member(seed)
        }
        "score-end" => {
            let sign = if seed.one_in(3) { "(" } else { "" };
            [sign.as_bytes(), &score(seed)].concat()
        }
        "zoption" => pick(
            seed,
            &[
                "NX", "XX", "GT", "LT", "CH", "REV", "BYSCORE", "LIMIT", "0", "-1", "foo",
            ],
        ),
        "spot" => {
            argument(seed, "corner", command);
            return argument(seed, "town", command);
        }
        "corner" => {
            let longitude = coordinate(seed, 180);
            command.push(longitude);
            coordinate(seed, 85)
        }
        "town" => format!("t{}", seed.below(12)).into_bytes(),
        "length" => small_or(
            seed,
            2000,
            0,
            &["0", "-1", "1e7", "0.5", "20000000", "abc", ""],
        ),
        "unit" => pick(seed, &["m", "km", "KM", "ft", "mi", "km", "km", "x"]),
        "sortable" => format!("{{s}}{}", seed.below(3)).into_bytes(),
        "missing" => b"no such key".to_vec(),
        "stream" => stream(seed),
        "stream-id" => stream_id(seed),
        "new-id" => new_id(seed),
        "range-end" => match seed.below(4) {
            0 => b"-".to_vec(),
            1 => b"+".to_vec(),
            2 => [b"(", stream_id(seed).as_slice()].concat(),
            _ => stream_id(seed),
        },
        "named" => {
            command.push(pick(seed, &["f", "f", "f", "g", "1", ""]));
            value(seed)
        }
        "integer" => pick(seed, INTEGERS),
        "index" => small_or(seed, 40, -40, INTEGERS),
        // Never so far that a write makes a huge string; just beyond the limit it is refused.
        "offset" => small_or(
            seed,
            200,
            0,
            &["-1", "100000", "536870912", "4294967296", "abc", "", "1.5"],
        ),
        "bit" => small_or(
            seed,
            400,
            0,
            &["-1", "100000", "4294967296", "abc", "", "1.5"],
        ),
        "zero-or-one" => small_or(seed, 2, 0, &["2", "-1", "abc", ""]),
        "db" => small_or(seed, 3, 0, &["15", "16", "-1", "abc", ""]),
        "float" => match seed.below(4) {
            0 => pick(seed, FLOATS),
            _ => format!("{}.{}", seed.below(200) as i64 - 100, seed.below(10_000)).into_bytes(),
        },
        "seconds" => small_or(seed, 100_000, 1000, TIMES),
        "millis" => small_or(seed, 100_000_000, 1_000_000, TIMES),
        "unix-seconds" => small_or(seed, 33_177_118_000, 33_177_117_000, TIMES),
        "unix-millis" => small_or(seed, 33_177_118_000_000, 33_177_117_000_000, TIMES),
        "expiry" => {
            let (unit, kind) = *seed.pick(&[
                ("EX", "seconds"),
                ("PX", "millis"),
                ("EXAT", "unix-seconds"),
                ("PXAT", "unix-millis"),
            ]);
            command.push(unit.as_bytes().to_vec());
            return argument(seed, kind, command);
        }
        "option" => pick(
            seed,
            &[
                "NX", "XX", "GT", "LT", "GET", "KEEPTTL", "PERSIST", "EX", "PX", "100000", "foo",
            ],
        ),
        "field" => return field(seed, command),
        "field-type" => field_type(seed),
        "field-offset" => field_offset(seed),
        "pattern" => pick(
            seed,
            &[
                "*", "k*", "k?", "[ka]*", "k[^1-3]", "", "\\k1", "k[", "**1", "k[3-1]", "?",
            ],
        ),
        "name" => pick(seed, &["a", "", "with space", "x:y", "\n", "\u{e9}"]),
        "protocol" => pick(seed, &["2", "3", "4", "", "abc"]),
        other => other.as_bytes().to_vec(),
    };
    command.push(word);
}

fn pick(seed: &mut Seed, of: &[&str]) -> Vec<u8> {
    seed.pick(of).as_bytes().to_vec()
}

/// A number below `below` and not below `from`, now and then one of the others.
fn small_or(seed: &mut Seed, below: i64, from: i64, others: &[&str]) -> Vec<u8> {
    if seed.one_in(8) {
        return pick(seed, others);
    }
    let number = from + seed.below((below - from) as usize) as i64;
    number.to_string().into_bytes()
}

fn key(seed: &mut Seed) -> Vec<u8> {
    match seed.below(30) {
        0 => Vec::new(),
        1 => b"\x00\r\n\xff".to_vec(),
        2 => b"k".repeat(300),
        // Beside another key, by its tag; the last ones have none, although it looks so.
        3 | 4 => format!("{{k{}}}", seed.below(4)).into_bytes(),
        5 => pick(seed, &["a{k1}b{k2}", "{}k1", "{k1", "k1}{", "{{k1}}"]),
        6 | 7 => format!(
            "{}{}",
            seed.pick(&["list", "set", "zset", "hash"]),
            seed.below(3)
        )
        .into_bytes(),
        n => format!("k{}", n % 10).into_bytes(),
    }
}

fn value(seed: &mut Seed) -> Vec<u8> {
    match seed.below(12) {
        0..=3 => pick(seed, INTEGERS),
        4 => pick(seed, FLOATS),
        5 => Vec::new(),
        6 => vec![*seed.pick(b"\x00\xff\x55a"); seed.below(64)],
        7 => {
            let length = *seed.pick(&[43, 44, 45, 1000, 20_000, 40_000]);
            vec![*seed.pick(b"\x00\xff\x0fb"); length]
        }
        _ => {
            let length = seed.below(24);
            seed.bytes(length)
        }
    }
}

/// A score: mostly a small one, so that they meet, or with few digits, which all servers print alike.
fn score(seed: &mut Seed) -> Vec<u8> {
    match seed.below(16) {
        0 => pick(seed, INTEGERS),
        1 => pick(seed, &["inf", "-inf", "+inf", "nan", "1e30", "-0.5"]),
        2..=4 => format!(
            "{}.{}",
            seed.below(20) as i64 - 10,
            *seed.pick(&[25, 5, 75])
        )
        .into_bytes(),
        _ => (seed.below(12) as i64 - 4).to_string().into_bytes(),
    }
}

/// A key of a type: mostly one that commands on other types do not name.
fn key_of(seed: &mut Seed, kind: &str) -> Vec<u8> {
    match seed.below(12) {
        0 => key(seed),
        // Commands on sorted sets take sets too.
        1 if kind == "zset" => format!("set{}", seed.below(3)).into_bytes(),
        _ => format!("{kind}{}", seed.below(3)).into_bytes(),
    }
}

/// A member of a set, mostly one that others have too.
fn member(seed: &mut Seed) -> Vec<u8> {
    match seed.below(12) {
        0 => value(seed),
        1 => pick(seed, INTEGERS),
        2 => b"e".repeat(*seed.pick(&[64, 65, 127, 128, 300])),
        3 | 4 => format!("e{}", seed.below(20)).into_bytes(),
        _ => (seed.below(30) as i64 - 5).to_string().into_bytes(),
    }
}

/// A field of a hash, mostly one that others have too.
fn hash_field(seed: &mut Seed) -> Vec<u8> {
    match seed.below(20) {
        0 => value(seed),
        1 => b"f".repeat(*seed.pick(&[64, 65, 300])),
        2..=5 => seed.below(10).to_string().into_bytes(),
        _ => format!("f{}", seed.below(20)).into_bytes(),
    }
}

/// So many fields that encodings change, fewer than make them change beforehand.
fn hash_pairs(seed: &mut Seed, command: &mut Command) {
    let from = seed.below(400);
    for i in from..from + *seed.pick(&[100, 300, 500]) {
        command.push(format!("f{i}").into_bytes());
        command.push(i.to_string().into_bytes());
    }
}

/// So many members that encodings change.
fn members(seed: &mut Seed, command: &mut Command) {
    let many = *seed.pick(&[60, 100, 130, 300, 520]);
    let from = seed.below(100);
    let before = *seed.pick(&["", "", "e"]);
    command.extend((from..from + many).map(|i| format!("{before}{i}").into_bytes()));
}

/// Few names, so that one grows long.
fn stream(seed: &mut Seed) -> Vec<u8> {
    match seed.one_in(12) {
        true => key(seed),
        false => pick(seed, &["s", "s", "t", "u"]),
    }
}

/// Mostly ids such as [`new_id`] makes.
fn stream_id(seed: &mut Seed) -> Vec<u8> {
    match seed.one_in(12) {
        true => pick(seed, STREAM_IDS),
        false => format!("1-{}", seed.below(40)).into_bytes(),
    }
}

/// Mostly the next one within the same millisecond, which no clock decides.
fn new_id(seed: &mut Seed) -> Vec<u8> {
    match seed.one_in(8) {
        true => stream_id(seed),
        false => b"1-*".to_vec(),
    }
}

/// Degrees of longitude or latitude, mostly of a part of the earth that is not too large.
fn coordinate(seed: &mut Seed, max: usize) -> Vec<u8> {
    let span = if seed.one_in(3) { max } else { 10 };
    let thousandths = seed.below(2000 * span) as f64 - 1000.0 * span as f64;
    match seed.one_in(40) {
        true => pick(seed, &["0", "180", "-180", "85.05112878", "86", "abc", ""]),
        false => format!("{}", thousandths / 1000.0).into_bytes(),
    }
}

fn field(seed: &mut Seed, command: &mut Command) {
    match seed.below(5) {
        0 => command.extend([
            b"OVERFLOW".to_vec(),
            pick(seed, &["WRAP", "SAT", "FAIL", "x"]),
        ]),
        1 => command.extend([b"GET".to_vec(), field_type(seed), field_offset(seed)]),
        n => {
            let verb = if n == 2 { "SET" } else { "INCRBY" };
            let number = pick(seed, INTEGERS);
            command.extend([verb.into(), field_type(seed), field_offset(seed), number]);
        }
    }
}

fn field_type(seed: &mut Seed) -> Vec<u8> {
    if seed.one_in(20) {
        return pick(seed, &["u64", "i65", "u0", "i0", "x8", "", "u", "8"]);
    }
    let signed = seed.one_in(2);
    let bits = 1 + seed.below(if signed { 64 } else { 63 });
    format!("{}{bits}", if signed { "i" } else { "u" }).into_bytes()
}

fn field_offset(seed: &mut Seed) -> Vec<u8> {
    let offset = small_or(
        seed,
        300,
        0,
        &["-1", "20000", "4294967296", "abc", "", "#", "#-1"],
    );
    match seed.one_in(4) {
        true => [b"#", offset.as_slice()].concat(),
        false => offset,
    }
}

/// Makes a command wrong: an argument too many, too few, or a strange one.
fn spoil(seed: &mut Seed, command: &mut Command) {
    let at = seed.below(command.len());
    match seed.below(4) {
        0 => command.push(value(seed)),
        1 if command.len() > 1 => drop(command.pop()),
        2 if at > 0 => command[at] = pick(seed, &["", "abc", "-1", "\0", "9223372036854775808"]),
        _ => {
            let copy = command[at].clone();
            command.insert(at, copy);
        }
    }
}

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "7",
    "8",
    "9",
    "10",
    "100",
    "-100",
    "127",
    "128",
    "255",
    "256",
    "9999",
    "10000",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "01",
    "+1",
    "-0",
    " 1",
    "1 ",
    "1.0",
    "1e3",
    "",
    "abc",
    "0x10",
];

const STREAM_IDS: &[&str] = &[
    "0",
    "0-0",
    "0-1",
    "1",
    "2-0",
    "2-*",
    "-",
    "+",
    "$",
    ">",
    "*",
    "1-",
    "-1",
    "1-1-1",
    "1--1",
    "+1-+2",
    " 1- 3",
    "01-01",
    "(1-1",
    "1-18446744073709551615",
    "1-18446744073709551616",
    "abc",
    "",
];

const FLOATS: &[&str] = &[
    "0",
    "0.1",
    "-0.5",
    "1e3",
    "1e-3",
    "1e17",
    "-1e17",
    "3.0",
    "3.14159265358979",
    "1e300",
    "-1e300",
    "inf",
    "-inf",
    "nan",
    "",
    "abc",
    " 1",
    "1 ",
    "0x1p3",
    ".5",
    "5.",
    "1e",
    "1e-17",
];

/// No relative time so short that one server might see it pass and the other not.
const TIMES: &[&str] = &[
    "0",
    "-1",
    "1.5",
    "abc",
    "",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775",
    "9223372036854775808",
    "92233720368547758",
    "-100000",
    "+100000",
    "0100000",
];
