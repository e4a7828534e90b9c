//! Leaving out the packets that no tick needs, bit by bit exact.
//!
//! At one or two frames per second most pictures of a video are decoded to be thrown away. One that nothing refers
//! to need not be decoded at all, nor one after the last that is shown before decoding starts anew. The sample
//! tables of an MP4 or MOV file and the headers of its NAL units tell which those are. The decoder then gets the
//! same file with other tables: the bytes, their places, the other tracks and all times stay what they were.
//!
//! Whatever is not understood is an [`Obstacle`], and the decoder gets the file as it is. No [`Obstacle`] is an
//! error, and no file, however hostile, makes this module panic or allocate more than a small multiple of its size.

mod boxes;
mod coding;
mod index;
mod input;
mod nal;
mod obstacle;
mod order;
pub mod plan;
mod rewrite;
mod sps;
mod tables;
pub mod ticks;
mod units;

pub use index::{Index, Plan};
pub use input::PrunedInput;
pub use obstacle::Obstacle;
pub use ticks::Ticks;
