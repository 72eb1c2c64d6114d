//! The decoder of an uplink gives the same frames wherever its bytes are cut, and what it read becomes
//! the same bytes again. A frame over the limit is refused before its payload is read.

use bytes::{Bytes, BytesMut};
use wire::frames::{Decoder, Frame, HEAD, Invalid, write_frame};
use wire::limits::FRAME;

/// The first byte is the length of the pieces (0: one byte, then growing ones).
pub(super) fn check(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    let whole = decode(std::iter::once(bytes.clone()));
    let step = usize::from(*step);
    assert_eq!(decode(pieces(&bytes, |_| step.max(1))), whole, "pieces of {step} bytes");
    assert_eq!(decode(pieces(&bytes, |number| number * step + 1)), whole, "growing pieces");
    let Decoded { frames, invalid, is_inside } = whole;
    let mut written = BytesMut::new();
    for Frame { kind, task, offset, payload } in &frames {
        assert!(payload.len() <= FRAME, "a payload of {} bytes", payload.len());
        write_frame(&mut written, *kind, *task, *offset, payload);
    }
    let (read, rest) = bytes.split_at(written.len());
    assert_eq!(written, read, "what was read is not what is written");
    match invalid {
        None => assert_eq!(is_inside, !rest.is_empty(), "{} bytes are left", rest.len()),
        Some(invalid) => assert_eq!(check_head(rest), Some(invalid)),
    }
    if invalid.is_none() {
        assert!(rest.len() < HEAD || rest.len() < HEAD + payload_length(rest), "a frame is left");
        assert_eq!(check_head(rest), None);
    }
}

/// What a decoder makes of an uplink.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    frames: Vec<Frame>,
    invalid: Option<Invalid>,
    is_inside: bool,
}

fn decode(pieces: impl Iterator<Item = Bytes>) -> Decoded {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(invalid) => {
                    assert_eq!(decoder.next_frame(), Err(invalid), "it stays invalid");
                    return Decoded { frames, invalid: Some(invalid), is_inside: true };
                }
            }
        }
    }
    Decoded { frames, invalid: None, is_inside: decoder.is_inside_frame() }
}

/// Cuts bytes into pieces; `length` of a piece's number, from 0, is at least 1.
fn pieces(bytes: &Bytes, length: impl Fn(usize) -> usize) -> impl Iterator<Item = Bytes> {
    let (mut rest, mut number) = (bytes.clone(), 0);
    std::iter::from_fn(move || {
        let count = length(number).min(rest.len());
        number += 1;
        (count > 0).then(|| rest.split_to(count))
    })
}

fn payload_length(head: &[u8]) -> usize {
    let length: [u8; 4] = std::array::from_fn(|at| head[at]);
    usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX)
}

/// Why these bytes cannot begin a frame (docs/protocol.md 5.7), as far as they go.
fn check_head(bytes: &[u8]) -> Option<Invalid> {
    if bytes.len() < 4 {
        return None;
    }
    let length = payload_length(bytes);
    if length > FRAME {
        return Some(Invalid::TooLong(u32::try_from(length).unwrap_or(u32::MAX)));
    }
    let reserved = bytes.iter().skip(5).take(3);
    reserved.copied().any(|byte| byte != 0).then_some(Invalid::Reserved)
}

#[cfg(test)]
mod tests {
    use super::{check, write_frame};
    use bytes::BytesMut;
    use wire::frames::Kind;

    #[test]
    fn the_property_holds_for_frames_of_every_kind_and_for_what_is_none() {
        let mut frames = BytesMut::new();
        let kinds = [Kind::Accepted, Kind::Head, Kind::Data, Kind::End, Kind::Failed];
        for (number, kind) in (0..).zip(kinds.into_iter().chain([Kind::Unknown(9)])) {
            write_frame(&mut frames, kind, number, 7, &[b'x'; 10]);
        }
        for step in [0, 1, 31, 33, 255] {
            for end in 0..=frames.len() {
                check(&[&[step][..], &frames[..end]].concat());
            }
            for wrong in [[0, 1, 0, 1, 3, 0, 0, 0], [0, 0, 0, 1, 3, 0, 1, 0]] {
                check(&[&[step][..], &frames, &wrong, &frames].concat());
            }
        }
    }
}
