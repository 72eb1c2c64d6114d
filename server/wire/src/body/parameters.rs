//! Parameters of a header's value, as `; name=value; name="value"`.

/// Splits parameters; `None` if they are malformed, if one is given twice, or if two decoders could
/// see the end of a quoted value at different places.
pub(super) fn parameters(text: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (mut rest, mut found) = (text.trim_ascii(), Vec::<(&[u8], &[u8])>::new());
    while !rest.is_empty() {
        let parameter = rest.strip_prefix(b";")?.trim_ascii_start();
        let (name, value) = parameter.split_at(parameter.iter().position(|byte| *byte == b'=')?);
        let (value, after) = value_and_rest(&value[1..])?;
        let seen = found.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        if seen || name.is_empty() || !name.iter().copied().all(is_token) {
            return None;
        }
        found.push((name, value));
        rest = after.trim_ascii_start();
    }
    Some(found)
}

fn value_and_rest(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(quoted) = text.strip_prefix(b"\"") {
        let end = quoted.iter().position(|byte| *byte == b'"')?;
        // Some decoders take the backslash as a part of the value, others as an escape of the quote.
        return (!quoted[..end].ends_with(b"\\")).then(|| (&quoted[..end], &quoted[end + 1..]));
    }
    let end = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// True for a byte of an RFC 9110 token.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
