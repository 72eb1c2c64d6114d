//! Tests of forms.

use crate::body::{Format, Head, Scanner, with_model};
use crate::limits::{FORM_FIELD, FORM_HEADER, FORM_HEADERS, FORM_PARTS};
use bytes::Bytes;

fn format(boundary: &str) -> Format {
    let content_type = format!("multipart/form-data; boundary={boundary}");
    Format::of("/v1/audio/transcriptions", Some(&content_type)).unwrap()
}

fn head(body: &[u8]) -> Result<Head, String> {
    crate::body::head(&format("b"), body)
}

fn part(name: &str, content: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
}

fn form(parts: &[(&str, &str)]) -> String {
    let parts: String = parts.iter().map(|(name, content)| part(name, content)).collect();
    format!("{parts}--b--\r\n")
}

/// A form with one part, whose headers and content are these.
fn with_headers(headers: &str) -> String {
    format!("--b\r\n{headers}\r\n\r\nqwen\r\n--b--")
}

/// A form with one part, with so many lines before the one with its name.
fn with_lines(lines: usize) -> String {
    with_headers(&format!("{}Content-Disposition: form-data; name=model", "a:\r\n".repeat(lines)))
}

#[test]
fn only_the_value_of_model_changes_and_every_other_byte_stays() {
    let around = |model: &str| {
        let mut body = b"--b\r\ncontent-disposition: form-data; name=\"file\"; \
            filename*=utf-8''a%20b; filename=\"C:\\a; b.wav\"\r\ncontent-type: audio/wav\r\n\r\n"
            .to_vec();
        body.extend((0..=u8::MAX).cycle().take(3000));
        body.extend(b"\r\n-\r\n--\r\n\r\r\n");
        let parts = [("model", model), ("stream", "true"), ("prompt", "model\r\nqwen")];
        body.extend(form(&parts).into_bytes());
        Bytes::from(body)
    };
    let body = around("a-name");
    assert_eq!(head(&body), Ok(Head { model: Some("a-name".into()), stream: true }));
    for model in ["the-backends-own", "", "\u{fc}\r\n"] {
        assert!(with_model(&format("b"), &body, model).unwrap() == around(model), "{model}");
    }
}

#[test]
fn a_model_that_would_end_its_part_is_not_written() {
    let body = Bytes::from(form(&[("model", "a")]));
    with_model(&format("b"), &body, "x--b").unwrap_err();
    assert_eq!(with_model(&format("b"), &body, "x-b").unwrap(), form(&[("model", "x-b")]));
}

#[test]
fn the_fields_are_found_wherever_they_stand_and_may_be_missing() {
    let file = "x".repeat(100_000);
    let file = ("file", file.as_str());
    for (parts, model, stream) in [
        (&[("model", "a"), file][..], Some("a"), false),
        (&[file, ("stream", "True"), ("model", "a")][..], Some("a"), true),
        (&[("stream", "0"), ("models", "a"), ("xstream", "1")][..], None, false),
        (&[("model", ""), ("stream", "")][..], Some(""), false),
        (&[][..], None, false),
    ] {
        let body = form(parts);
        assert_eq!(head(body.as_bytes()), Ok(Head { model: model.map(Into::into), stream }));
        let body = Bytes::from(body);
        assert_eq!(with_model(&format("b"), &body, "m").is_ok(), model.is_some());
    }
}

#[test]
fn headers_are_read_as_clients_write_them() {
    for headers in [
        "Content-Disposition: form-data; name=\"model\"",
        "content-disposition:form-data;name=model",
        "Content-Type: text/plain\r\nCONTENT-DISPOSITION: Form-Data; name=\"model\"",
        "Content-Disposition: form-data; name=\"model\"\r\nContent-Length: 4",
    ] {
        let head = head(with_headers(headers).as_bytes());
        assert_eq!(head.map(|head| head.model), Ok(Some("qwen".into())), "{headers}");
    }
}

#[test]
fn a_form_that_cannot_be_used_is_refused_with_its_reason() {
    for (body, word) in [
        (String::new(), "cut off at byte 0"),
        ("{\"model\":\"a\"}".into(), "must begin with the boundary"),
        (format!("\r\n{}", form(&[])), "must begin with the boundary"),
        ("--b".into(), "cut off at byte 3"),
        ("--b\n".into(), "inside of a part, at byte 3"),
        ("--b \r\n".into(), "inside of a part"),
        ("--b\r\n\r\nqwen\r\n--b--".into(), "unusable headers"),
        (form(&[("model", "a")])[..50].into(), "cut off at byte 50"),
        (form(&[("model", "a")]).replace("--b--", "--b"), "cut off"),
        (format!("{}\n", form(&[])), "follows the form"),
        (format!("{}x", form(&[])), "follows the form"),
        (format!("{}--b--", form(&[])), "follows the form"),
        (form(&[("file", "x--b"), ("model", "a")]), "inside of a part"),
        (form(&[("file", "x\n--b\n"), ("model", "a")]), "inside of a part"),
        (form(&[("file", "x\r\n--bc"), ("model", "a")]), "inside of a part"),
        (form(&[("file", "--b"), ("model", "a")]), "inside of a part"),
        (form(&[("file", "---b"), ("model", "a")]), "inside of a part"),
        (form(&[("a--b", "x"), ("model", "a")]), "inside of a part"),
        (form(&[("model", "a"), ("model", "a")]), "duplicate part `model`"),
        (form(&[("stream", "1"), ("stream", "1")]), "duplicate part `stream`"),
        (form(&[("stream", "yes")]), "boolean"),
        (form(&[("model", &"m".repeat(FORM_FIELD + 1))]), "longer than 1024"),
        (form(&[("model", &"m".repeat(FORM_FIELD + 100))]), "longer than 1024"),
        (form(&vec![("x", ""); FORM_PARTS + 1]), "more than 1024 parts"),
        (form(&[(&"x".repeat(FORM_HEADER), "")]), "longer than 4096"),
        (with_lines(FORM_HEADERS), "unusable headers"),
    ] {
        let why = head(body.as_bytes()).unwrap_err();
        assert!(why.contains(word), "{body}: {why}");
    }
    let mut binary = form(&[("model", "a")]).into_bytes();
    let at = binary.iter().rposition(|byte| *byte == b'a').unwrap();
    binary[at] = 0xff;
    assert!(head(&binary).unwrap_err().contains("not UTF-8"));
    head(form(&[("model", &"m".repeat(FORM_FIELD))]).as_bytes()).unwrap();
    head(form(&vec![("x", ""); FORM_PARTS]).as_bytes()).unwrap();
    head(with_lines(FORM_HEADERS - 1).as_bytes()).unwrap();
}

#[test]
fn a_part_that_a_backend_could_take_for_model_or_stream_is_refused() {
    for name in
        ["MODEL", "Model", "model[]", "model[a]", " model", "model\t", "STREAM", "\u{17f}tream"]
    {
        let why = head(form(&[(name, "a")]).as_bytes()).unwrap_err();
        assert!(why.contains("could be taken for"), "{name}: {why}");
    }
    let with = |more: &str| with_headers(&format!("Content-Disposition: form-data; {more}"));
    assert!(head(with("name=model; filename=a").as_bytes()).unwrap_err().contains("no file"));
    for ambiguous in [
        "name=\"file\"; filename=\"a; name=model\"",
        "name=\"file\"; filename=\"a\tNAME =\tmodel\"",
        "name=\"file\"; filename=\"a\\\"; name=\\\"model\"",
        "name=\"file\"; filename=\"a\\\"",
        "name=\"file\"; name=\"model\"",
        "name=\"file\"; Name=\"model\"",
        "Name=\"model\"",
        "name*=utf-8''model",
        "name*0=mod; name*1=el",
        "name=\"file\"; x=\"model\"",
        "name=\"mo\\del\"",
        "name=\"=?utf-8?q?model?=\"",
        "name = \"model\"",
        "name=\"model",
        "name=\"file\";",
        "filename=\"model\"",
        "name=\"file\"\r\nContent-Disposition: form-data; name=\"model\"",
        "name=\"file\";\r\n name=\"model\"",
        "name=\"file\"\rContent-Disposition: form-data; name=\"model\"",
        "name=\"file\"\nContent-Disposition: form-data; name=\"model\"",
        "name=\"fi\0le\"",
    ] {
        let why = head(with(ambiguous).as_bytes()).unwrap_err();
        assert!(why.contains("unusable headers"), "{ambiguous}: {why}");
    }
    for headers in
        ["Content-Disposition : form-data; name=a", "Content-Disposition: attachment; name=a"]
    {
        head(with_headers(headers).as_bytes()).unwrap_err();
    }
}

#[test]
fn the_model_is_known_before_the_rest_has_arrived_and_cuts_change_nothing() {
    let parts = [("file", "\r\n\r-\r\n--a\r\r\n---"), ("model", "\u{e4}b"), ("stream", "true")];
    let body = form(&parts);
    let mut scanner = Scanner::new(&format("b"));
    scanner.feed(&body.as_bytes()[..body.find("--b\r\n").unwrap() + 3]).unwrap();
    assert_eq!(scanner.model(), None);
    let known = body.find("\r\nContent-Disposition: form-data; name=\"stream\"").unwrap();
    scanner.feed(&body.as_bytes()[3..known]).unwrap();
    assert_eq!(scanner.model(), Some("\u{e4}b"));
    let whole = Head { model: Some("\u{e4}b".into()), stream: true };
    for cut in 0..=body.len() {
        let mut scanner = Scanner::new(&format("b"));
        let (first, second) = body.as_bytes().split_at(cut);
        scanner.feed(first).unwrap();
        scanner.feed(second).unwrap();
        assert_eq!(scanner.finish().unwrap().head, whole, "cut at {cut}");
    }
}

#[test]
fn a_boundary_that_repeats_itself_is_found_only_where_it_stands() {
    for boundary in ["-", "---", "a--a", "--a--a"] {
        let line = format!("--{boundary}");
        let part = format!("{line}\r\ncontent-disposition: form-data; name=model\r\n\r\n");
        let body = format!("{part}x-y\r\n-\r\n{line}--");
        let head = crate::body::head(&format(boundary), body.as_bytes());
        assert_eq!(head.unwrap().model.as_deref(), Some("x-y\r\n-"), "{boundary}");
        let inside = format!("{part}x-{line}\r\n{line}--");
        crate::body::head(&format(boundary), inside.as_bytes()).unwrap_err();
    }
}
