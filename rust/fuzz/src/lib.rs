//! What the fuzz targets check, apart from the targets so that a finding can be replayed by a test.

#[path = "../../../tests/common/meter.rs"]
mod meter;
pub mod mp4;
pub mod nut;
#[path = "../../../tests/common/nut_encoder.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
mod nut_encoder;
pub mod prune;
pub mod seeds;
