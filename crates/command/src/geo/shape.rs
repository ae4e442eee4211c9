//! What a search covers: circles, boxes and polygons on the sphere, and the cells to look in for the
//! places inside.

use super::cell::{Area, Cell, Place, STEPS};

/// Of the sphere that stands for the earth, in metres.
const EARTH_RADIUS: f64 = 6_372_797.560856;
/// Half the width of the Mercator map, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;
const RADIANS: f64 = std::f64::consts::PI / 180.0;

/// The great-circle distance by the haversine formula, in metres.
pub fn distance(a: Place, b: Place) -> f64 {
    let v = ((b.longitude * RADIANS - a.longitude * RADIANS) / 2.0).sin();
    if v == 0.0 {
        return distance_north(a, b);
    }
    let (a_north, b_north) = (a.latitude * RADIANS, b.latitude * RADIANS);
    let u = ((b_north - a_north) / 2.0).sin();
    let square = u * u + a_north.cos() * b_north.cos() * v * v;
    // Of places on opposite sides of the earth, rounding may make it more than 1.
    2.0 * EARTH_RADIUS * square.sqrt().min(1.0).asin()
}

/// The distance between the parallels of two places, in metres.
fn distance_north(a: Place, b: Place) -> f64 {
    EARTH_RADIUS * (b.latitude * RADIANS - a.latitude * RADIANS).abs()
}

#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Lengths as they were given.
    Circle {
        radius: f64,
    },
    Box {
        width: f64,
        height: f64,
    },
    Polygon(Vec<Place>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub figure: Figure,
    pub center: Place,
    /// Metres of the unit in which lengths are given, and distances answered.
    pub unit: f64,
}

impl Shape {
    pub fn polygon(vertices: Vec<Place>) -> Shape {
        Shape {
            center: centroid(&vertices),
            figure: Figure::Polygon(vertices),
            unit: 1.0,
        }
    }

    /// The distance from the centre, in metres, of a place inside.
    pub fn distance_inside(&self, place: Place) -> Option<f64> {
        match &self.figure {
            Figure::Circle { radius } => {
                let distance = distance(self.center, place);
                (distance <= radius * self.unit).then_some(distance)
            }
            Figure::Box { width, height } => {
                let parallel = Place {
                    longitude: self.center.longitude,
                    latitude: place.latitude,
                };
                let inside = distance_north(place, self.center) <= height * self.unit / 2.0
                    && distance(place, parallel) <= width * self.unit / 2.0;
                inside.then(|| distance(self.center, place))
            }
            Figure::Polygon(vertices) => {
                is_within(vertices, place).then(|| distance(self.center, place))
            }
        }
    }

    /// A rectangle around the shape.
    fn bounds(&self) -> Area {
        let Place {
            longitude,
            latitude,
        } = self.center;
        let (width, height) = match &self.figure {
            Figure::Circle { radius } => (self.unit * radius, self.unit * radius),
            Figure::Box { width, height } => {
                (self.unit * (width / 2.0), self.unit * (height / 2.0))
            }
            Figure::Polygon(vertices) => return bounds_of(vertices),
        };
        let degrees = |metres: f64| metres / EARTH_RADIUS / RADIANS;
        let north = degrees(height);
        // Meridians are closer together towards the pole.
        let edge = if latitude < 0.0 {
            latitude - north
        } else {
            latitude + north
        };
        let east = width / EARTH_RADIUS / (edge * RADIANS).cos() / RADIANS;
        Area {
            west: longitude - east,
            south: latitude - north,
            east: longitude + east,
            north: latitude + north,
        }
    }

    /// How far the shape reaches from its centre, in metres.
    fn reach(&self, bounds: &Area) -> f64 {
        match &self.figure {
            Figure::Circle { radius } => radius * self.unit,
            Figure::Box { width, height } => {
                let (w, h) = (width / 2.0, height / 2.0);
                (w * w + h * h).sqrt() * self.unit
            }
            Figure::Polygon(_) => corners(bounds)
                .into_iter()
                .map(|corner| distance(self.center, corner))
                .fold(0.0, f64::max),
        }
    }

    /// The cells to look in, in the order in which Redis does: the one of the centre, and those of its
    /// eight neighbours that can matter.
    pub fn cells(&self) -> Vec<Cell> {
        let bounds = self.bounds();
        let mut steps = steps_for(self.reach(&bounds), self.center.latitude);
        let neighbours_reach = |steps| {
            let cell = Cell::at(self.center, steps);
            let area = |east, north| cell.neighbour(east, north).area();
            !(area(0, 1).north < bounds.north
                || area(0, -1).south > bounds.south
                || area(1, 0).east < bounds.east
                || area(-1, 0).west > bounds.west)
        };
        if steps > 1 && !neighbours_reach(steps) {
            steps -= 1;
        }
        let cell = Cell::at(self.center, steps);
        let area = cell.area();
        // With two cells each way, a neighbour on one side is that on the other too.
        let all = steps < 2;
        // What is no number reaches nowhere.
        let beyond = |edge: f64, bound: f64| edge > bound;
        let north = all || !beyond(area.north, bounds.north);
        let south = all || !beyond(bounds.south, area.south);
        let east = all || !beyond(area.east, bounds.east);
        let west = all || !beyond(bounds.west, area.west);
        let around = [
            ((0, 1), north),
            ((0, -1), south),
            ((1, 0), east),
            ((-1, 0), west),
            ((1, 1), north && east),
            ((-1, 1), north && west),
            ((1, -1), south && east),
            ((-1, -1), south && west),
        ];
        let mut cells = vec![cell];
        for ((east, north), _) in around.into_iter().filter(|(_, matters)| *matters) {
            let neighbour = cell.neighbour(east, north);
            if cells[1..].last() != Some(&neighbour) {
                cells.push(neighbour);
            }
        }
        cells
    }
}

/// How many halvings leave cells of about the size of a search that reaches so far, in metres.
fn steps_for(mut reach: f64, latitude: f64) -> u32 {
    if reach == 0.0 {
        return STEPS;
    }
    let mut steps = 1;
    while reach < MERCATOR_MAX {
        reach *= 2.0;
        steps += 1;
    }
    // Cells are twice as large as that, and towards the poles they are narrower.
    steps -= 2;
    if latitude.abs() > 66.0 {
        steps -= 1;
    }
    if latitude.abs() > 80.0 {
        steps -= 1;
    }
    steps.clamp(1, STEPS as i32) as u32
}

fn bounds_of(vertices: &[Place]) -> Area {
    let mut area = Area {
        west: f64::INFINITY,
        south: f64::INFINITY,
        east: f64::NEG_INFINITY,
        north: f64::NEG_INFINITY,
    };
    for vertex in vertices {
        area.west = area.west.min(vertex.longitude);
        area.east = area.east.max(vertex.longitude);
        area.south = area.south.min(vertex.latitude);
        area.north = area.north.max(vertex.latitude);
    }
    area
}

fn corners(area: &Area) -> [Place; 4] {
    let corner = |longitude, latitude| Place {
        longitude,
        latitude,
    };
    [
        corner(area.west, area.south),
        corner(area.west, area.north),
        corner(area.east, area.south),
        corner(area.east, area.north),
    ]
}

/// The middle of places on the sphere: the direction of the sum of their unit vectors.
fn centroid(places: &[Place]) -> Place {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for place in places {
        let (east, north) = (place.longitude * RADIANS, place.latitude * RADIANS);
        x += north.cos() * east.cos();
        y += north.cos() * east.sin();
        z += north.sin();
    }
    let n = places.len() as f64;
    let (x, y, z) = (x / n, y / n, z / n);
    Place {
        longitude: y.atan2(x) / RADIANS,
        latitude: z.atan2((x * x + y * y).sqrt()) / RADIANS,
    }
}

/// Whether a ray from a place crosses a polygon's edges an odd number of times.
fn is_within(vertices: &[Place], place: Place) -> bool {
    let Some(mut from) = vertices.last() else {
        return false;
    };
    let mut inside = false;
    for to in vertices {
        let spans = (to.latitude > place.latitude) != (from.latitude > place.latitude);
        if spans {
            let share = (place.latitude - to.latitude) / (from.latitude - to.latitude);
            let crossing = (from.longitude - to.longitude) * share + to.longitude;
            inside ^= place.longitude < crossing;
        }
        from = to;
    }
    inside
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
    fn distances_are_those_of_redis() {
        let palermo = Place::of_score(3479099956230698.0);
        let catania = Place::of_score(3479447370796909.0);
        assert_eq!(format!("{:.4}", distance(palermo, catania)), "166274.1516");
        assert_eq!(distance(palermo, palermo), 0.0);
    }

    #[test]
    fn a_polygon_has_an_inside() {
        let triangle = [place(0.0, 0.0), place(10.0, 0.0), place(0.0, 10.0)];
        assert!(is_within(&triangle, place(1.0, 1.0)));
        assert!(!is_within(&triangle, place(6.0, 6.0)));
        assert!(!is_within(&triangle, place(-1.0, 1.0)));
        assert!(!is_within(&[], place(0.0, 0.0)));
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        let center = (-180.0..180.0f64, -85.0..85.0f64).prop_map(|(x, y)| place(x, y));
        let size = || (0.0..7.0f64).prop_map(|power| 10f64.powf(power));
        let figure = prop_oneof![
            size().prop_map(|radius| Figure::Circle { radius }),
            (size(), size()).prop_map(|(width, height)| Figure::Box { width, height }),
        ];
        (center, figure).prop_map(|(center, figure)| Shape {
            figure,
            center,
            unit: 1.0,
        })
    }

    proptest! {
        #[test]
        fn what_is_inside_is_in_the_cells(shape in shapes(), east in -1.0..1.0f64, north in -1.0..1.0f64) {
            let bounds = shape.bounds();
            let near = place(
                shape.center.longitude + east * (bounds.east - shape.center.longitude).min(90.0),
                shape.center.latitude + north * (bounds.north - shape.center.latitude),
            );
            // Near the poles and beyond the date line cells miss some places, as in Redis.
            prop_assume!(near.is_indexed() && bounds.north.abs() < 80.0 && bounds.south.abs() < 80.0);
            prop_assume!(bounds.east.abs() < 180.0 && bounds.west.abs() < 180.0);
            let stored = Place::of_score(near.score());
            if shape.distance_inside(stored).is_some() {
                let score = near.score();
                let found = shape.cells().iter().filter(|cell| {
                    let (first, next) = cell.scores();
                    (first..next).contains(&score)
                }).count();
                prop_assert_eq!(found, 1);
            }
        }

        #[test]
        fn no_shape_is_too_odd(
            longitude in -180.0..180.0f64,
            latitude in -85.0..85.0f64,
            size in prop_oneof![Just(f64::INFINITY), Just(f64::MAX), Just(5e-324), Just(0.0)],
        ) {
            let center = place(longitude, latitude);
            for figure in [Figure::Circle { radius: size }, Figure::Box { width: size, height: 1.0 }] {
                let cells = Shape { figure, center, unit: 1609.34 }.cells();
                prop_assert!((1..=9).contains(&cells.len()));
            }
        }
    }
}
