//! Tests of the decoder, among them the streams of the Web Platform Tests.

use super::{Decoder, Limit, TooLong};
use crate::sse::{Decoded, Event, Item};

fn decode(pieces: &[&[u8]]) -> Vec<Event> {
    limited(pieces, 64 << 10, 64 << 10).into_iter().map(Result::unwrap).collect()
}

fn limited(pieces: &[&[u8]], line: usize, event: usize) -> Vec<Decoded> {
    let mut decoder = Decoder::new(line, event);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut events);
    }
    events
}

fn event(name: &str, data: &str) -> Event {
    Event { name: name.into(), data: data.into() }
}

#[test]
fn a_stream_gives_the_same_events_however_it_is_split() {
    let stream = "\u{feff}event: task\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n: ka\n\ndata:x\rdata\r\revent: e\n\ndata: \u{fc}\n\n"
        .as_bytes();
    let whole = decode(&[stream]);
    let expected =
        [event("task", "{\"a\":\n1}"), event("message", "x\n"), event("message", "\u{fc}")];
    assert_eq!(whole, expected);
    for at in 0..=stream.len() {
        assert_eq!(decode(&[&stream[..at], &stream[at..]]), whole, "split at {at}");
    }
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(decode(&single), whole);
}

/// Streams of the Web Platform Tests; bodies are in base64 because some are not UTF-8.
#[test]
fn the_web_platform_tests_pass_whole_and_split_at_every_byte() {
    let vectors = include_str!("../../../testdata/wpt_eventsource_vectors.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
    assert!(vectors.len() >= 20, "only {} vectors", vectors.len());
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        let body = base64(vector["body_b64"].as_str().unwrap());
        let wanted: Vec<Event> = vector["want"]
            .as_array()
            .unwrap()
            .iter()
            .map(|want| event(want["event"].as_str().unwrap(), want["data"].as_str().unwrap()))
            .collect();
        for at in 0..=body.len() {
            assert_eq!(decode(&[&body[..at], &body[at..]]), wanted, "{name}, split at {at}");
        }
    }
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'=').collect();
    let value = |digit: &u8| DIGITS.iter().position(|d| d == digit).unwrap() as u32;
    let bytes = digits.chunks(4).flat_map(|four| {
        let bits =
            four.iter().fold(0, |bits, digit| bits << 6 | value(digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    });
    bytes.collect()
}

#[test]
fn an_unfinished_event_is_not_dispatched() {
    assert_eq!(decode(&[b"data: a\n\ndata: b\n"]), [event("message", "a")]);
}

fn too_long(limit: Limit, name: &str, prefix: &str) -> Decoded {
    Err(TooLong { limit, name: name.into(), prefix: prefix.into() })
}

#[test]
fn an_event_that_is_too_long_is_skipped_and_the_next_one_is_read_however_the_stream_is_split() {
    let line = || Limit::Line(16);
    let cases: [(&str, &[Decoded]); 6] = [
        (
            "event: task\ndata: 12\ndata: 3456789012345\nid: 7\n\ndata: next\n\n",
            &[too_long(line(), "task", "12\n3456789012"), Ok(event("message", "next"))],
        ),
        (
            "data: 123456\r\ndata: 7890\r\ndata: x\r\n\r\ndata: next\n\n",
            &[too_long(Limit::Event(10), "message", "123456\n7890"), Ok(event("message", "next"))],
        ),
        ("data: a\n: a comment that is too long\ndata: b\n\n", &[Ok(event("message", "a\nb"))]),
        (
            "event: a-very-long-name\ndata: a\n\ndata: b\n\n",
            &[too_long(line(), "message", ""), Ok(event("message", "b"))],
        ),
        (
            "data: 0123456789abcdef\rdata: 0123456789abcdef\r\rdata: b\r\r",
            &[too_long(line(), "message", "0123456789"), Ok(event("message", "b"))],
        ),
        ("\u{feff}data: 0123456789", &[too_long(line(), "message", "0123456")]),
    ];
    for (stream, wanted) in cases {
        let stream = stream.as_bytes();
        let found = limited(&[stream], 16, 10);
        assert_eq!(found, wanted, "{:?}", String::from_utf8_lossy(stream));
        for at in 0..=stream.len() {
            let cut = limited(&[&stream[..at], &stream[at..]], 16, 10);
            assert_eq!(cut, found, "split at {at}");
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(limited(&single, 16, 10), found);
    }
}

#[test]
fn a_skipped_line_is_not_held_in_memory() {
    let mut decoder = Decoder::new(1 << 10, 1 << 10);
    let mut events = Vec::new();
    let piece = [b'x'; 64 << 10];
    decoder.feed(b"data: ", &mut events);
    for _ in 0..1_000 {
        decoder.feed(&piece, &mut events);
    }
    assert!(decoder.line.capacity() <= 4 << 10, "{}", decoder.line.capacity());
    assert!(matches!(&events[..], [Err(skipped)] if skipped.prefix.len() <= super::SSE_PREFIX));
}

#[test]
fn comments_are_given_to_a_sink_that_takes_them_in_the_order_of_the_stream() {
    let stream = ": waking 3s\r\n\r\ndata: {\"a\":1}\n\n:late\ndata:[DONE]\n\n".as_bytes();
    let event = |data: &str| Item::Event(Ok(event("message", data)));
    let comment = |text: &str| Item::Comment(text.into());
    let expected = [comment("waking 3s"), event("{\"a\":1}"), comment("late"), event("[DONE]")];
    for at in 0..=stream.len() {
        let (mut decoder, mut items) = (Decoder::new(64, 64), Vec::<Item>::new());
        decoder.feed(&stream[..at], &mut items);
        decoder.feed(&stream[at..], &mut items);
        assert_eq!(items, expected, "split at {at}");
    }
}
