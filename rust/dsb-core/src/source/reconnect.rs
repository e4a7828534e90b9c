//! What happens when the decoder of a live source has ended: it is started again.

use std::sync::Arc;
use std::time::Instant;

use super::Options;
use super::decoder::Decoder;
use super::live::{Live, Timeline};
use super::output::{Child, Output};
use crate::error::Error;
use crate::ring::End;

/// Starts the decoder again, after growing pauses, whenever it has ended, until that is of no use. A source that
/// has an end, or that never delivered a frame, keeps the end that it has.
pub(super) fn keep_connected(
    output: &mut Output<'_>,
    decoder: &Arc<Decoder>,
    options: &Options,
    timeline: Option<&Timeline>,
    mut end: End,
) -> End {
    let limit = options.live.and_then(|live| live.reconnect);
    let (Some(limit), Some(timeline), 1..) = (limit, timeline, output.frames) else { return end };
    while let Some(reason) = loss(&end) {
        let (lost_at, mut attempts, frames) = (Instant::now(), 0, output.frames);
        timeline.lost(reason.clone());
        loop {
            let pause = Live::pause(attempts + 1);
            if lost_at.elapsed() + pause > limit {
                return End::Failed(given_up(options, &reason, attempts));
            }
            if decoder.cancelled_within(pause) {
                return End::Cancelled;
            }
            attempts += 1;
            timeline.attempt();
            decoder.log.forget_lines();
            end = output.play(decoder, &Child::whole(options));
            if output.frames > frames || loss(&end).is_none() {
                break;
            }
        }
    }
    end
}

/// Why a connection was lost; `None` if connecting again would not help.
///
/// Decoders end a lost connection in the same way as one that the other side closed on purpose.
fn loss(end: &End) -> Option<String> {
    match end {
        End::Eof => Some("the stream ended".to_owned()),
        End::Failed(
            error @ (Error::Source { .. } | Error::Decode { .. } | Error::Protocol { .. }),
        ) => Some(error.to_string()),
        End::Failed(_) | End::Cancelled => None,
    }
}

fn given_up(options: &Options, reason: &str, attempts: u32) -> Error {
    Error::Source {
        name: options.name.clone(),
        what: format!(
            "the connection was lost ({reason}) and {attempts} attempts did not restore it"
        ),
        remedy: "check that the source still sends, or raise stream.reconnect_s".to_owned(),
    }
}
