//! `math.random` of scripts: the same numbers after the same seed on every machine, which are those
//! of Redis. The generator is the 48-bit congruence that `lrand48` has everywhere. As in Redis since 7,
//! a script goes on where the one before it left off.

use crate::lua::Lua;
use crate::native::{Raise, check_int};
use crate::vm::Core;

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

#[derive(Clone, Copy)]
pub struct Random(u64);

impl Random {
    /// Where Redis begins.
    pub const REDIS: u64 = 0x1234_ABCD_330E;

    pub fn at(state: u64) -> Random {
        Random(state & MASK)
    }

    pub fn seeded(seed: i32) -> Random {
        Random(u64::from(seed as u32) << 16 | 0x330E)
    }

    /// 31 bits.
    fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        (self.0 >> 17) as u32
    }
}

pub fn random(lua: Lua, core: &Core) -> Result<i32, Raise> {
    if core.active().is_none() {
        return Err(Raise::text(
            "math.random can only be called inside a script invocation",
        ));
    }
    let mut generator = core.random.get();
    let max = i32::MAX as u32;
    let r = f64::from(generator.draw() % max) / f64::from(max);
    core.random.set(generator);
    let integer = |index| check_int(lua, index);
    let drawn = match lua.top() {
        0 => r,
        1 => {
            let upper = integer(1)?;
            if upper < 1 {
                return Err(Raise::argument(1, "interval is empty"));
            }
            (r * f64::from(upper)).floor() + 1.0
        }
        2 => {
            let (lower, upper) = (integer(1)?, integer(2)?);
            if lower > upper {
                return Err(Raise::argument(2, "interval is empty"));
            }
            let width = upper.wrapping_sub(lower).wrapping_add(1);
            (r * f64::from(width)).floor() + f64::from(lower)
        }
        _ => return Err(Raise::text("wrong number of arguments")),
    };
    lua.push_number(drawn);
    Ok(1)
}

pub fn randomseed(lua: Lua, core: &Core) -> Result<i32, Raise> {
    let seed = check_int(lua, 1)?;
    if core.active().is_none() {
        return Err(Raise::text(
            "math.randomseed can only be called inside a script invocation",
        ));
    }
    core.random.set(Random::seeded(seed));
    Ok(0)
}
