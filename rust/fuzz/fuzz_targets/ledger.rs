//! The slot ledger against a list of slots, over arbitrary sequences of steps.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

#[path = "../../../tests/common/ledger_model.rs"]
mod ledger_model;

use ledger_model::{OWNERS, Step, play};

const MAX_STEPS: usize = 100;

#[derive(Debug)]
struct Session {
    capacity: u64,
    steps: Vec<Step>,
}

impl<'a> Arbitrary<'a> for Session {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let capacity = input.int_in_range(1..=96)?;
        let mut steps = Vec::new();
        while !input.is_empty() && steps.len() < MAX_STEPS {
            steps.push(step(input)?);
        }
        Ok(Self { capacity, steps })
    }
}

fn step(input: &mut Unstructured<'_>) -> arbitrary::Result<Step> {
    let owner = |input: &mut Unstructured<'_>| input.int_in_range(0..=OWNERS - 1);
    Ok(match input.int_in_range(0_u8..=9)? {
        0..4 => Step::Append {
            owner: owner(input)?,
            count: input.int_in_range(0..=12)?,
            sink: input.ratio(1_u8, 8_u8)?,
        },
        4 | 5 => {
            let count = input.int_in_range(0..=3)?;
            Step::Evict((0..count).map(|_| owner(input)).collect::<Result<_, _>>()?)
        }
        6 | 7 => Step::Mark,
        _ => Step::Rollback(usize::from(input.arbitrary::<u8>()?)),
    })
}

fuzz_target!(|session: Session| play(session.capacity, session.steps));
