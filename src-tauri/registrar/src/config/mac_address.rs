//! A network card's address.

/// Reads `aa:bb:cc:dd:ee:ff`, also with `-`.
///
/// # Errors
/// A sentence naming the field.
pub fn parse(text: &str) -> Result<[u8; 6], String> {
    let wrong = || format!("{text:?} is not of the form aa:bb:cc:dd:ee:ff");
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let mut mac = [0; 6];
    if parts.len() != mac.len() {
        return Err(wrong());
    }
    for (byte, part) in mac.iter_mut().zip(parts) {
        *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
    }
    Ok(mac)
}
