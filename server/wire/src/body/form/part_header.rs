//! Reads the name of a form's part.
//!
//! It refuses what decoders read differently: other parameters than those of RFC 7578, a name in
//! the text of another parameter, escapes, folded lines.

use crate::body::field::Field;
use crate::body::parameters::{is_token, parameters};
use crate::limits::FORM_HEADERS;
use memchr::memmem;

/// The field that the part with these headers is; `None` for one that is not read. `block` ends
/// behind the line break of its last line.
pub(super) fn field(block: &[u8]) -> Result<Option<Field>, String> {
    let name = name(block).ok_or(
        "a part of the form has unusable headers: each needs one line `Content-Disposition: \
         form-data; name=\"…\"`, at most with a `filename`, and a plain name",
    )?;
    // PHP and others take `model[]` and ` model` for `model`.
    let base = name.text.split('[').next().unwrap_or_default().trim();
    let Some(field) = Field::like(base) else { return Ok(None) };
    let written = field.name();
    if name.text != written {
        let text = name.text;
        return Err(format!(
            "the part {text:?} could be taken for `{written}`; name it `{written}`"
        ));
    }
    if name.is_file {
        return Err(format!("`{written}` of the form must be a text and no file"));
    }
    Ok(Some(field))
}

struct Name {
    text: String,
    is_file: bool,
}

fn name(block: &[u8]) -> Option<Name> {
    let (mut found, mut lines, mut rest) = (None, 0, block);
    while !rest.is_empty() {
        let end = memmem::find(rest, b"\r\n")?;
        let (name, value) = header(&rest[..end])?;
        if name.eq_ignore_ascii_case(b"content-disposition")
            && found.replace(disposition(value)?).is_some()
        {
            return None;
        }
        lines += 1;
        if lines > FORM_HEADERS {
            return None;
        }
        rest = &rest[end + 2..];
    }
    found
}

fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
    let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    let is_usable =
        !name.is_empty() && name.iter().copied().all(is_token) && value.iter().all(is_text);
    is_usable.then(|| (name, value[1..].trim_ascii()))
}

fn disposition(value: &[u8]) -> Option<Name> {
    let (kind, rest) = value.split_at(value.iter().position(|byte| *byte == b';')?);
    if !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
        return None;
    }
    let (mut name, mut is_file) = (None, false);
    for (key, value) in parameters(rest)? {
        // A decoder that searches for the word would find it here.
        if contains_name(value) {
            return None;
        }
        match key {
            b"name" => name = Some(value),
            b"filename" | b"filename*" => is_file = true,
            _ => return None,
        }
    }
    // Some decoders decode encoded words (RFC 2047).
    let is_plain = |name: &&[u8]| !name.contains(&b'\\') && memmem::find(name, b"=?").is_none();
    let name = name.filter(is_plain)?;
    Some(Name { text: String::from_utf8_lossy(name).into_owned(), is_file })
}

/// True for a text with `name=` in any case, and with spaces in it.
fn contains_name(value: &[u8]) -> bool {
    let folded: Vec<u8> =
        value.iter().filter(|b| !b.is_ascii_whitespace()).map(u8::to_ascii_lowercase).collect();
    memmem::find(&folded, b"name=").is_some()
}
