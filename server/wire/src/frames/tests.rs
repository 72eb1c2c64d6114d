use super::{Decoder, Frame, HEAD, Invalid, Kind, write_frame};
use crate::limits::FRAME;
use bytes::{Bytes, BytesMut};

fn frame(kind: Kind, task: u128, offset: u64, payload: &'static [u8]) -> Frame {
    Frame { kind, task, offset, payload: Bytes::from_static(payload) }
}

fn frames() -> Vec<Frame> {
    vec![
        frame(Kind::Accepted, 7, 0, b""),
        frame(Kind::Head, u128::MAX, 0, b"{\"status\":200}"),
        frame(Kind::Data, 7, u64::MAX, b"\0\r\n\xff"),
        frame(Kind::Unknown(200), 0, 0, b"later"),
        frame(Kind::Failed, 1, 0, b"{}"),
        frame(Kind::End, 7, 0, b""),
    ]
}

fn written(frames: &[Frame]) -> Bytes {
    let mut out = BytesMut::new();
    for Frame { kind, task, offset, payload } in frames {
        write_frame(&mut out, *kind, *task, *offset, payload);
    }
    out.freeze()
}

/// Feeds the pieces, and returns the frames up to the first error.
fn read(decoder: &mut Decoder, pieces: &[Bytes]) -> (Vec<Frame>, Option<Invalid>) {
    let mut found = Vec::new();
    for piece in pieces {
        decoder.feed(piece.clone());
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(invalid) => return (found, Some(invalid)),
            }
        }
    }
    (found, None)
}

#[test]
fn a_frame_has_the_layout_of_the_protocol() {
    let bytes =
        written(&[frame(Kind::Data, 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10, 258, b"hi")]);
    let expected = [
        &[0, 0, 0, 2, 3, 0, 0, 0][..],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        &[0, 0, 0, 0, 0, 0, 1, 2],
        b"hi",
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn frames_are_read_as_they_were_written_wherever_the_bytes_are_cut() {
    let (frames, bytes) = (frames(), written(&frames()));
    for at in 0..=bytes.len() {
        let mut decoder = Decoder::default();
        let pieces = [bytes.slice(..at), bytes.slice(at..)];
        assert_eq!(read(&mut decoder, &pieces), (frames.clone(), None), "cut at {at}");
        assert!(!decoder.is_inside_frame());
    }
    let bytewise: Vec<Bytes> = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
    assert_eq!(read(&mut Decoder::default(), &bytewise), (frames, None));
}

#[test]
fn an_end_inside_a_frame_is_noticed() {
    let bytes = written(&frames()[..2]);
    let mut decoder = Decoder::default();
    let (found, invalid) = read(&mut decoder, &[bytes.slice(..bytes.len() - 1)]);
    assert_eq!((found.len(), invalid), (1, None));
    assert!(decoder.is_inside_frame());
}

#[test]
fn a_payload_over_the_limit_and_reserved_bytes_end_the_uplink_before_any_more_is_read() {
    let most = BytesMut::zeroed(FRAME).freeze();
    let largest = Frame { payload: most, ..frame(Kind::Data, 1, 0, b"") };
    let mut decoder = Decoder::default();
    let found = read(&mut decoder, &[written(std::slice::from_ref(&largest))]);
    assert_eq!(found, (vec![largest], None));

    for (head, expected) in [
        (vec![0, 1, 0, 1], Invalid::TooLong(65_537)),
        (vec![0xff; 4], Invalid::TooLong(u32::MAX)),
        (vec![0, 0, 0, 0, 1, 0, 1], Invalid::Reserved),
    ] {
        let mut decoder = Decoder::default();
        let begun = written(&[frame(Kind::End, 1, 0, b"")]);
        let (found, invalid) = read(&mut decoder, &[begun, head.into()]);
        assert_eq!((found.len(), invalid), (1, Some(expected)));
        decoder.feed(BytesMut::zeroed(HEAD).freeze());
        assert_eq!(decoder.next_frame(), Err(expected), "it stays invalid");
    }
}
