//! The plane cut into cells: a place is the number of the small cell that it is in.
//!
//! Longitude and latitude are halved again and again, by turns, and each halving is a bit of the cell's
//! number: so cells that begin with the same bits lie within one larger cell, and the places in a cell
//! are a range of numbers. A sorted set keeps the number of 26 halvings each way as the score, which a
//! double holds exactly.
//!
//! The steps of the arithmetic, and of what wraps around where, are those of Redis: which places are
//! found, and in which order, follows from them.

/// Halvings each way of the cells that places are stored as.
pub const STEPS: u32 = 26;

pub const LONGITUDE_MAX: f64 = 180.0;
/// Where Web Mercator, on which the cells are squares, ends.
pub const LATITUDE_MAX: f64 = 85.05112878;

/// Longitude's bits in a cell's number; latitude's are the others.
const EAST: u64 = 0xaaaa_aaaa_aaaa_aaaa;
const NORTH: u64 = 0x5555_5555_5555_5555;

/// A place on the earth, in degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

impl Place {
    /// Whether there are cells for it.
    pub fn is_indexed(self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }

    /// The place that a score stands for: the middle of its cell.
    pub fn of_score(score: f64) -> Place {
        let area = Cell::of_score(score).area();
        let middle = |low: f64, high: f64, max: f64| ((low + high) / 2.0).min(max).max(-max);
        Place {
            longitude: middle(area.west, area.east, LONGITUDE_MAX),
            latitude: middle(area.south, area.north, LATITUDE_MAX),
        }
    }

    pub fn score(self) -> f64 {
        Cell::at(self, STEPS).first_score()
    }

    /// The eleven letters of the usual geohash, the last of which is always the first of the alphabet:
    /// the bits end before it.
    pub fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        // Usual geohashes cover the poles too.
        let bits = number(self, STEPS, 90.0);
        let mut text = [ALPHABET[0]; 11];
        for (letter, shift) in text[..10].iter_mut().zip((2..52).step_by(5).rev()) {
            *letter = ALPHABET[(bits >> shift & 31) as usize];
        }
        text
    }
}

/// A rectangle, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    pub west: f64,
    pub south: f64,
    pub east: f64,
    pub north: f64,
}

/// A cell after so many halvings each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    number: u64,
    steps: u32,
}

/// The number of the cell in which a place is, of a plane that goes up to `latitude_max`.
fn number(place: Place, steps: u32, latitude_max: f64) -> u64 {
    let part = |value: f64, max: f64| {
        let share = (value + max) / (max + max);
        // At the upper end it is one more than the cells, as in Redis.
        (share * (1u64 << steps) as f64) as u32
    };
    let north = spread(part(place.latitude, latitude_max));
    let east = spread(part(place.longitude, LONGITUDE_MAX));
    north | east << 1
}

/// Puts a zero before each bit.
fn spread(bits: u32) -> u64 {
    let mut x = u64::from(bits);
    x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & NORTH
}

/// Every second bit.
fn squeeze(bits: u64) -> u32 {
    let mut x = bits & NORTH;
    x = (x | x >> 1) & 0x3333_3333_3333_3333;
    x = (x | x >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) as u32
}

/// 2⁶³.
const TOP: f64 = (1u64 << 63) as f64;

/// A double as C converts it to a signed integer on x86-64.
pub fn signed(value: f64) -> i64 {
    if (-TOP..TOP).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

/// A double as C converts it to an unsigned integer on x86-64, where negative and huge ones wrap
/// around.
fn wrapped(value: f64) -> u64 {
    if value < TOP {
        signed(value) as u64
    } else {
        signed(value - TOP) as u64 ^ 1 << 63
    }
}

impl Cell {
    pub fn at(place: Place, steps: u32) -> Cell {
        let number = number(place, steps, LATITUDE_MAX);
        Cell { number, steps }
    }

    /// The cell that a score stands for. Any score stands for one.
    fn of_score(score: f64) -> Cell {
        Cell {
            number: wrapped(score),
            steps: STEPS,
        }
    }

    pub fn area(self) -> Area {
        let edge = |index: u32, max: f64| {
            let share = f64::from(index) / (1u64 << self.steps) as f64;
            -max + share * (max + max)
        };
        let (east, north) = (squeeze(self.number >> 1), squeeze(self.number));
        Area {
            west: edge(east, LONGITUDE_MAX),
            south: edge(north, LATITUDE_MAX),
            east: edge(east.wrapping_add(1), LONGITUDE_MAX),
            north: edge(north.wrapping_add(1), LATITUDE_MAX),
        }
    }

    /// The lowest score of a place in the cell.
    fn first_score(self) -> f64 {
        (self.number << (2 * (STEPS - self.steps))) as f64
    }

    /// The scores of the places in the cell: from the first on, below the second.
    pub fn scores(self) -> (f64, f64) {
        let next = Cell {
            number: self.number.wrapping_add(1),
            ..self
        };
        (self.first_score(), next.first_score())
    }

    /// The cell so many cells to the east and to the north, of one step each at most. The world goes
    /// round, northwards too.
    pub fn neighbour(self, east: i32, north: i32) -> Cell {
        let low = u64::MAX >> (64 - 2 * self.steps);
        let moved = |axis: u64, other: u64, by: i32| {
            let bits = self.number & axis;
            // The other axis's bits carry what is added over to the next one of this axis.
            let filler = other & low;
            let bits = match by {
                0 => bits,
                1.. => bits.wrapping_add(filler + 1),
                _ => (bits | filler).wrapping_sub(filler + 1),
            };
            bits & axis & if by == 0 { u64::MAX } else { low }
        };
        Cell {
            number: moved(EAST, NORTH, east) | moved(NORTH, EAST, north),
            steps: self.steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(longitude: f64, latitude: f64) -> Place {
        Place {
            longitude,
            latitude,
        }
    }

    #[test]
    fn places_have_the_scores_and_names_that_redis_gives_them() {
        let palermo = place(13.361389, 38.115556);
        assert_eq!(palermo.score(), 3479099956230698.0);
        assert_eq!(&palermo.geohash(), b"sqc8b49rny0");
        assert_eq!(place(15.087269, 37.502669).score(), 3479447370796909.0);
    }

    #[test]
    fn the_world_goes_round() {
        let corner = Cell {
            number: 0,
            steps: 2,
        };
        let numbers = |cells: [(i32, i32); 4]| cells.map(|(e, n)| corner.neighbour(e, n).number);
        assert_eq!(numbers([(1, 0), (0, 1), (1, 1), (0, 0)]), [2, 1, 3, 0]);
        assert_eq!(
            numbers([(-1, 0), (0, -1), (-1, -1), (-1, 1)]),
            [10, 5, 15, 11]
        );
    }

    #[test]
    fn any_score_is_a_place() {
        let odd = [
            0.0,
            -1.0,
            1e300,
            -1e300,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.5,
        ];
        for score in odd.into_iter().chain([u64::MAX as f64, i64::MAX as f64]) {
            assert!(Place::of_score(score).is_indexed(), "{score}");
        }
    }

    proptest! {
        #[test]
        fn a_place_is_in_its_cell(
            longitude in -LONGITUDE_MAX..LONGITUDE_MAX,
            latitude in -LATITUDE_MAX..LATITUDE_MAX,
            steps in 1..=STEPS,
        ) {
            let place = place(longitude, latitude);
            let cell = Cell::at(place, steps);
            let area = cell.area();
            prop_assert!(area.west <= longitude && longitude <= area.east);
            prop_assert!(area.south <= latitude && latitude <= area.north);
            let (first, next) = cell.scores();
            prop_assert!((first..next).contains(&place.score()));
            let back = Place::of_score(place.score());
            prop_assert_eq!(back.score(), place.score());
            prop_assert!((back.longitude - longitude).abs() < 1e-5);
        }

        #[test]
        fn neighbours_are_the_ones_of_the_indices(
            bits in any::<u64>(), steps in 1..=STEPS, east in -1..=1i32, north in -1..=1i32,
        ) {
            let number = bits & u64::MAX >> (64 - 2 * steps);
            let moved = Cell { number, steps }.neighbour(east, north).number;
            let step = |index: u32, by: i32| index.wrapping_add_signed(by) & ((1 << steps) - 1);
            prop_assert_eq!(squeeze(moved >> 1), step(squeeze(number >> 1), east));
            prop_assert_eq!(squeeze(moved), step(squeeze(number), north));
        }

        #[test]
        fn bits_are_spread_and_squeezed(bits: u32) {
            prop_assert_eq!(squeeze(spread(bits)), bits);
        }
    }
}
