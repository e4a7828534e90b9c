//! Which pictures are decoded, against a walk along every reference.

use arbitrary::{Arbitrary, Unstructured};
use dsb_core::Rational;
use dsb_core::prune::Ticks;
use dsb_core::prune::plan::{Picture, keep};

const MAX_PICTURES: usize = 96;

/// A video as its encoder knows it, and what is asked of it.
#[derive(Debug)]
pub struct Case {
    pictures: Vec<Picture>,
    /// Places of the pictures that each one refers to.
    references: Vec<Vec<usize>>,
    timescale: u32,
    rate: (u64, u64),
    start_us: i64,
    from_ns: i64,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let timescale = *input.choose(&[1, 24, 1000, 12_800, 30_000, 90_000, 10_000_000])?;
        let rate = (input.int_in_range(1..=60)?, input.int_in_range(1..=12)?);
        let start_us =
            if input.ratio(1, 3)? { input.int_in_range(-3_000_000..=9_000_000)? } else { 0 };
        let from_ns = if input.ratio(1, 4)? { input.int_in_range(0..=9_000_000_000)? } else { 0 };
        let (mut references, mut starts) = (Vec::<Vec<usize>>::new(), Vec::new());
        let (mut fixed, mut spared, mut deltas) = (Vec::new(), Vec::new(), Vec::new());
        let mut since = 0;
        while !input.is_empty() && references.len() < MAX_PICTURES {
            let here = references.len();
            let flags: u8 = input.arbitrary()?;
            let start = here == 0 || flags & 15 == 0;
            since = if start { here } else { since };
            let count = if here > since { usize::from(flags >> 4 & 3) } else { 0 };
            let refer = |_| input.int_in_range(since..=here - 1);
            references.push((0..count).map(refer).collect::<Result<_, _>>()?);
            starts.push(start);
            fixed.push(flags >> 6 == 3 && input.ratio(1, 8)?);
            spared.push(input.ratio(1, 8)?);
            deltas.push(input.int_in_range(1..=2 * i64::from(timescale))?);
        }
        let mut order: Vec<usize> = (0..references.len()).collect();
        // Pictures change places with near ones, as B-frames do.
        for place in 1..order.len() {
            order.swap(place, place - input.int_in_range(0..=place.min(16))?);
        }
        let mut times = vec![0; order.len()];
        let mut clock = input.int_in_range(0..=i64::from(timescale))?;
        for (place, delta) in order.into_iter().zip(deltas) {
            times[place] = clock;
            clock += delta;
        }
        let pictures = (0..times.len()).map(|here| {
            let referred = references.iter().flatten().any(|&other| other == here);
            // An encoder may mark a picture for reference to which nothing refers.
            let discardable = !referred && !spared[here] && !fixed[here];
            Picture { time: times[here], discardable, starts: starts[here], fixed: fixed[here] }
        });
        let pictures = pictures.collect();
        Ok(Self { pictures, references, timescale, rate, start_us, from_ns })
    }
}

impl Case {
    /// # Panics
    /// If a picture is left out that a tick needs, or one is kept that cannot be decoded.
    pub fn check(&self) {
        let rate = Rational::new(self.rate.0, self.rate.1).unwrap_or_else(|_| unreachable!());
        let ticks = Ticks::new(rate, self.timescale, self.start_us).from(self.from_ns);
        let keep = keep(&self.pictures, &ticks);
        assert_eq!(keep.len(), self.pictures.len());
        for (place, references) in self.references.iter().enumerate().filter(|(i, _)| keep[*i]) {
            assert!(references.iter().all(|&other| keep[other]), "{place} lacks a reference");
        }
        assert!(self.pictures.iter().zip(&keep).all(|(picture, keep)| *keep || !picture.fixed));
        let mut times: Vec<(i64, usize)> = self.shown(|_| true);
        let kept = self.shown(|place| keep[place]);
        times.sort_unstable();
        for k in self.first_tick()..=self.last_tick(&times) {
            // The decoder moves a container that does not start at 0 in whole microseconds.
            let off = if self.start_us == 0 { &[0][..] } else { &[-1, 0, 1] };
            for &off_us in off {
                let Some(wanted) = self.on_screen(&times, k, off_us) else { continue };
                self.assert_decodable(wanted, &keep);
                assert_eq!(self.on_screen(&kept, k, off_us), Some(wanted), "at tick {k}");
            }
        }
    }

    /// Times and places of the pictures that are decoded, in display order.
    fn shown(&self, decoded: impl Fn(usize) -> bool) -> Vec<(i64, usize)> {
        let all = self.pictures.iter().enumerate().filter(|(place, _)| decoded(*place));
        let mut shown: Vec<_> = all.map(|(place, picture)| (picture.time, place)).collect();
        shown.sort_unstable();
        shown
    }

    /// Every picture that `place` needs, directly or not, is kept.
    fn assert_decodable(&self, place: usize, keep: &[bool]) {
        let mut needed = vec![place];
        let mut seen = vec![false; self.pictures.len()];
        while let Some(place) = needed.pop() {
            assert!(keep[place], "{place} is needed");
            if !std::mem::replace(&mut seen[place], true) {
                needed.extend(&self.references[place]);
            }
        }
    }

    /// The latest of `shown` with `time <= tick k`, in exact arithmetic.
    fn on_screen(&self, shown: &[(i64, usize)], k: i128, off_us: i128) -> Option<usize> {
        let (num, den) = (i128::from(self.rate.0), i128::from(self.rate.1));
        let scale = i128::from(self.timescale);
        // time / scale <= k * den / num + (start_us + off_us) / 1e6, over the common denominator.
        let tick = (k * den * 1_000_000 + (i128::from(self.start_us) + off_us) * num) * scale;
        let before = |&&(time, _): &&(i64, usize)| i128::from(time) * num * 1_000_000 <= tick;
        shown.iter().take_while(before).last().map(|&(_, place)| place)
    }

    /// The first tick at or after `from_ns`.
    fn first_tick(&self) -> i128 {
        let (num, den) = (i128::from(self.rate.0), i128::from(self.rate.1));
        let scaled = i128::from(self.from_ns) * num;
        -(-scaled).div_euclid(den * 1_000_000_000)
    }

    /// A tick beyond the last picture.
    fn last_tick(&self, times: &[(i64, usize)]) -> i128 {
        let (num, den) = (i128::from(self.rate.0), i128::from(self.rate.1));
        let seconds = times.last().map_or(0, |&(time, _)| time / i64::from(self.timescale)) + 13;
        i128::from(seconds) * num / den + 1
    }
}
