//! How many random cases a property test tries.

use proptest::prelude::ProptestConfig;

/// `count` cases, times the environment's `TEST_SCALE`. What fails is printed, not written to a file.
pub fn cases(count: u32) -> ProptestConfig {
    let scale = std::env::var("TEST_SCALE").ok();
    let scale = scale.and_then(|s| s.parse::<f64>().ok()).unwrap_or(1.0);
    ProptestConfig {
        cases: ((f64::from(count) * scale) as u32).max(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
