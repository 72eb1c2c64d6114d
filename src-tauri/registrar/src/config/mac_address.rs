//! Address of a network card.

/// Parses `aa:bb:cc:dd:ee:ff`; `-` is accepted as separator, too.
///
/// # Errors
/// The text has another form; a sentence for people that quotes it.
pub fn parse(text: &str) -> Result<[u8; 6], String> {
    let invalid = || format!("{text:?} is not of the form aa:bb:cc:dd:ee:ff");
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let mut mac = [0; 6];
    if parts.len() != mac.len() {
        return Err(invalid());
    }
    for (byte, part) in mac.iter_mut().zip(parts) {
        *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
    }
    Ok(mac)
}
