//! Random numbers that are a function of the seed, the replicate and their position.
#![allow(clippy::cast_possible_truncation)] // The high half of a product with `count` lies below it.

/// As many positions below `count` as there are, drawn with replacement.
pub(super) fn draws(seed: u64, replicate: u64, count: usize) -> impl Iterator<Item = usize> {
    let key = stream(seed, replicate);
    // The high half of a 64 x 64 bit product: uniform up to count / 2^64.
    (0..count as u64).map(move |n| ((u128::from(nth(key, n)) * count as u128) >> 64) as usize)
}

/// The key of the random stream number `number`.
pub(super) fn stream(seed: u64, number: u64) -> u64 {
    mix(mix(seed).wrapping_add(number))
}

/// Word `n` of the stream: `SplitMix64` (Steele, Lea & Flood 2014) with the counter as its state.
pub(super) fn nth(key: u64, n: u64) -> u64 {
    mix(key.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
