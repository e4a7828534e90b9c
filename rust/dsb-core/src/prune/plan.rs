//! Which pictures have to be decoded so that every tick shows what it would show if all were.

use super::ticks::Ticks;

/// A picture in decoding order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// When it comes on screen, in ticks of its track.
    pub time: i64,
    /// No other picture refers to it.
    pub discardable: bool,
    /// No picture from here on refers to one before it.
    pub starts: bool,
    /// It carries more than its pixels, so it must be decoded in any case.
    pub fixed: bool,
}

/// How many pictures stay at the end of a video. What a decoder says about the end of its output rests on the last
/// pictures in decoding order and in display order, which are at most 16 apart in H.264 and HEVC.
const TAIL: usize = 20;

/// One flag per picture: whether it has to be decoded.
///
/// Exact because (1) every picture that a tick shows is kept, and with it each one between it and the preceding
/// start, but for those that nothing refers to; (2) the first and the last pictures are kept, which say when the
/// video starts and ends; (3) nothing from a start on refers to what was before.
pub fn keep(pictures: &[Picture], ticks: &Ticks) -> Vec<bool> {
    let mut wanted = wanted(pictures, ticks);
    let count = pictures.len();
    for (i, picture) in pictures.iter().enumerate() {
        wanted[i] |= picture.fixed || i == 0 || i + TAIL >= count;
    }
    let mut keep = vec![false; count];
    let mut end = count;
    for start in (0..count).rev().filter(|&i| i == 0 || pictures[i].starts) {
        if let Some(last) = (start..end).rev().find(|&i| wanted[i]) {
            for i in start..=last {
                keep[i] = wanted[i] || !pictures[i].discardable;
            }
        }
        end = start;
    }
    keep
}

/// One flag per picture: whether a tick shows it, or it is the first or the last to be shown.
fn wanted(pictures: &[Picture], ticks: &Ticks) -> Vec<bool> {
    let mut order: Vec<usize> = (0..pictures.len()).collect();
    order.sort_by_key(|&i| pictures[i].time);
    let mut wanted = vec![false; pictures.len()];
    for (place, &i) in order.iter().enumerate() {
        let next = order.get(place + 1).map(|&next| pictures[next].time);
        let at_an_end = place == 0 || next.is_none();
        wanted[i] = at_an_end || next.is_some_and(|next| ticks.fall_into(pictures[i].time, next));
    }
    wanted
}
