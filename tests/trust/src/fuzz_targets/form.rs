//! The scanner of forms gives the same result however the form is split, and finds no other model than
//! another project's parser; replacing the model changes nothing else.

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream;
use multer::Multipart;
use std::convert::Infallible;
use wire::body::{Format, Place, Scan, Scanner, with_model};

/// Forms of at most this many bytes are cut at every byte.
const CUT_EVERYWHERE: usize = 512;
const NEW: &str = "the-\"backend's\"-own";

/// Checks the scanner on any form. The first line of the data is its `content-type`.
pub(super) fn check(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (Ok(content_type), body) = (std::str::from_utf8(&data[..at]), &data[at + 1..]) else {
        return;
    };
    let format = Format::of("/v1/audio/transcriptions", Some(content_type));
    let Ok(format @ Format::Form(_)) = format else { return };
    let found = in_pieces(&format, &[body]);
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(found, in_pieces(&format, &bytes), "byte by byte");
    let step = if body.len() <= CUT_EVERYWHERE { 1 } else { body.len() / 2 };
    for at in (0..body.len()).step_by(step) {
        let (first, second) = body.split_at(at);
        assert_eq!(found, in_pieces(&format, &[first, second]), "cut at {at}");
    }
    if let Ok(scan) = found {
        accepted(content_type, &format, &Bytes::copy_from_slice(body), &scan);
    }
}

/// Scans a form; an error has lost its text, which depends on the cuts when several things are wrong.
fn in_pieces(format: &Format, pieces: &[&[u8]]) -> Result<Scan, ()> {
    let mut scanner = Scanner::new(format);
    let mut early = None;
    for piece in pieces {
        scanner.feed(piece).map_err(drop)?;
        let known = scanner.model().map(str::to_owned);
        assert!(early.is_none() || early == known, "the model changes while the form is read");
        early = known;
    }
    let found = scanner.finish().map_err(drop)?;
    assert_eq!(early, found.head.model, "the model differs at the end");
    Ok(found)
}

fn accepted(content_type: &str, format: &Format, body: &Bytes, scan: &Scan) {
    let model = scan.head.model.as_deref().map(str::as_bytes);
    let after = with_model(format, body, NEW);
    if let Place::Value(at) = &scan.model {
        assert_eq!(Some(&body[at.clone()]), model, "the place of the model is wrong");
        let expected = [&body[..at.start], NEW.as_bytes(), &body[at.end..]].concat();
        // The boundary may stand in the new model.
        let is_wrong = after.as_ref().is_ok_and(|after| *after != expected);
        assert!(!is_wrong, "another byte than those of the model changes");
    } else {
        assert!(after.is_err(), "a model is added");
    }
    // multer refuses some types that are valid, such as one with a tab.
    if let Ok(boundary) = multer::parse_boundary(content_type) {
        compare_with_multer(&boundary, body, after.ok().as_ref(), model);
    }
}

fn compare_with_multer(boundary: &str, body: &Bytes, after: Option<&Bytes>, model: Option<&[u8]>) {
    let before = multers_parts(boundary, body);
    let models: Vec<_> =
        before.iter().filter(|part| part.name.as_deref() == Some("model")).collect();
    // multer sees no name behind a file's name that ends in the word "name".
    let nameless = before.iter().any(|part| part.name.is_none());
    match models[..] {
        [] => assert!(model.is_none() || nameless, "another parser finds no model"),
        [found] => assert_eq!(model, Some(&*found.content), "another parser finds another model"),
        _ => assert_eq!(models.len(), 1, "another parser finds two models"),
    }
    let Some(after) = after else { return };
    let parts = multers_parts(boundary, after);
    assert_eq!(parts.len(), before.len(), "the parts change");
    for (old, new) in before.iter().zip(&parts) {
        let is_model = old != new;
        assert!(!is_model || Some(&*old.content) == model && new.content == NEW, "a part changes");
    }
}

/// A part of a form.
#[derive(Debug, PartialEq)]
struct Part {
    name: Option<String>,
    content: Bytes,
}

/// The parts that multer finds.
fn multers_parts(boundary: &str, body: &Bytes) -> Vec<Part> {
    let body = stream::iter([Ok::<_, Infallible>(body.clone())]);
    let mut form = Multipart::new(body, boundary);
    let mut parts = Vec::new();
    let read = async {
        while let Some(part) = form.next_field().await? {
            let name = part.name().map(str::to_owned);
            parts.push(Part { name, content: part.bytes().await? });
        }
        Ok::<_, multer::Error>(())
    };
    let read = read.now_or_never();
    assert!(matches!(read, Some(Ok(()))), "another parser refuses the form: {read:?}");
    parts
}
