//! Writes event streams. No text can add a field or an event of its own: every line break in it
//! starts another line of the same kind.

use memchr::memchr2;

/// Ends an event whose start was written by [`write_event_start`].
pub const EVENT_END: &str = "\n\n";

/// Appends one event. A `name` of `None` means `message`. Line breaks in `data` arrive as line
/// feeds.
pub fn write_event(out: &mut String, name: Option<&str>, data: &str) {
    if let Some(name) = name {
        write_lines(out, "event: ", first_line(name));
    }
    write_lines(out, "data: ", data);
    out.push('\n');
}

/// Appends one comment, which decoders ignore and people may see.
pub fn write_comment(out: &mut String, text: &str) {
    write_lines(out, ": ", text);
    out.push('\n');
}

/// Appends an event up to its data, for data that is written in pieces. The data must be one line;
/// [`EVENT_END`] follows it.
pub fn write_event_start(out: &mut String, name: &str) {
    write_lines(out, "event: ", first_line(name));
    out.push_str("data: ");
}

fn write_lines(out: &mut String, field: &str, mut text: &str) {
    loop {
        let end = memchr2(b'\r', b'\n', text.as_bytes());
        out.push_str(field);
        out.push_str(&text[..end.unwrap_or(text.len())]);
        out.push('\n');
        let Some(end) = end else { return };
        let line_break = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        text = &text[end + line_break..];
    }
}

fn first_line(name: &str) -> &str {
    &name[..memchr2(b'\r', b'\n', name.as_bytes()).unwrap_or(name.len())]
}

#[cfg(test)]
mod tests {
    use super::super::{Decoded, Decoder, Event, Item};
    use super::{EVENT_END, write_comment, write_event, write_event_start};

    fn decoded(stream: &str) -> Vec<Decoded> {
        let mut events = Vec::new();
        Decoder::new(1 << 10, 1 << 10).feed(stream.as_bytes(), &mut events);
        events
    }

    fn event(name: &str, data: &str) -> Decoded {
        Ok(Event { name: name.into(), data: data.into() })
    }

    #[test]
    fn an_event_is_written_as_one_field_per_line() {
        let mut out = String::new();
        write_event(&mut out, Some("error"), "{\"a\":\n1}");
        write_event(&mut out, None, "[DONE]");
        write_comment(&mut out, "waking 3s");
        assert_eq!(out, "event: error\ndata: {\"a\":\ndata: 1}\n\ndata: [DONE]\n\n: waking 3s\n\n");
    }

    #[test]
    fn data_is_decoded_as_it_was_encoded_with_line_feeds_for_its_line_breaks() {
        for (data, read) in [
            ("", ""),
            (" x", " x"),
            ("\u{feff}", "\u{feff}"),
            ("a\nb", "a\nb"),
            ("a\r\nb\rc", "a\nb\nc"),
            ("a\n", "a\n"),
            ("\r\n\r\n", "\n\n"),
            ("x\n\nevent: revoked\ndata: y", "x\n\nevent: revoked\ndata: y"),
        ] {
            for name in [Some("task"), None] {
                let mut out = String::new();
                write_event(&mut out, name, data);
                assert_eq!(decoded(&out), [event(name.unwrap_or("message"), read)], "{data:?}");
            }
        }
    }

    #[test]
    fn neither_a_name_nor_a_comment_can_add_an_event() {
        let mut out = String::new();
        write_event(&mut out, Some("task\n\ndata: x\n"), "1");
        write_comment(&mut out, "a\n\ndata: x\r\rdata: y");
        assert_eq!(decoded(&out), [event("task", "1")]);
        let mut items: Vec<Item> = Vec::new();
        Decoder::new(64, 64).feed(out.as_bytes(), &mut items);
        let comments = ["a", "", "data: x", "", "data: y"];
        let comments = comments.map(|text| Item::Comment(text.into()));
        assert_eq!(items[1..], comments);
    }

    #[test]
    fn an_event_in_pieces_is_the_same_as_a_whole_one() {
        let (mut pieces, mut whole) = (String::new(), String::new());
        write_event_start(&mut pieces, "task");
        pieces.push_str("{\"a\":");
        pieces.push_str("1}");
        pieces.push_str(EVENT_END);
        write_event(&mut whole, Some("task"), "{\"a\":1}");
        assert_eq!(pieces, whole);
    }
}
