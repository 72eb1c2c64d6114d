//! The format of a request body, by its endpoint and its `content-type`.

use super::parameters::parameters;
use crate::limits::FORM_BOUNDARY;
use crate::paths::FORMS;

/// How a request body is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    Json,
    /// A form, `multipart/form-data`.
    Form(Boundary),
}

/// The text that separates the parts of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary(String);

impl Format {
    /// The format of a request to this endpoint with this `content-type`.
    ///
    /// # Errors
    /// The endpoint does not take this type, or the type is ambiguous. The sentence is for the caller.
    pub fn of(path: &str, content_type: Option<&str>) -> Result<Self, String> {
        let lower = content_type.unwrap_or("application/json").to_ascii_lowercase();
        let kind = lower.split(';').next().unwrap_or_default().trim();
        let takes_forms = FORMS.contains(&path);
        match kind {
            "multipart/form-data" if takes_forms => {
                Boundary::of(content_type.unwrap_or_default()).map(Self::Form)
            }
            // A decoder that looks for the word anywhere would take the body for a form.
            _ if lower.contains("multipart") && takes_forms => {
                Err("the `content-type` of a form must be `multipart/form-data`".into())
            }
            _ if lower.contains("multipart") => Err("this endpoint takes JSON and no form".into()),
            // The body could be read as a form of another type.
            kind if takes_forms && kind != "application/json" => Err(
                "this endpoint takes `multipart/form-data` or `application/json`; set `content-type`"
                    .into(),
            ),
            _ => Ok(Self::Json),
        }
    }
}

impl Boundary {
    fn of(content_type: &str) -> Result<Self, String> {
        let begins = content_type.find(';').unwrap_or(content_type.len());
        let found = parameters(&content_type.as_bytes()[begins..]).unwrap_or_default();
        let boundary = found.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(b"boundary"));
        let boundary = boundary.and_then(|(_, value)| std::str::from_utf8(value).ok());
        // A decoder that searches for the word would find another one.
        let is_only = content_type.to_ascii_lowercase().matches("boundary=").count() == 1;
        let is_usable = |text: &&str| text.len() <= FORM_BOUNDARY && text.bytes().all(may_separate);
        match boundary.filter(is_usable).filter(|text| is_only && !text.is_empty()) {
            Some(boundary) => Ok(Self(boundary.to_owned())),
            None => Err(format!(
                "the `content-type` of the form has no usable `boundary`: it must have one, with 1 to \
                 {FORM_BOUNDARY} letters, digits or `'()+_,-./:=?`"
            )),
        }
    }

    /// The line between two parts: `--` and the boundary.
    pub(super) fn line(&self) -> String {
        format!("--{}", self.0)
    }

    /// True for a text that would end a part.
    pub(super) fn is_in(&self, text: &str) -> bool {
        text.contains(&self.line())
    }
}

/// True for a character of RFC 2046's boundaries, without the space.
fn may_separate(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::Format;
    use crate::paths::RELAYED;

    const FORM: &str = "/v1/audio/transcriptions";

    fn boundary(content_type: &str) -> Option<String> {
        match Format::of(FORM, Some(content_type)) {
            Ok(Format::Form(boundary)) => Some(boundary.0),
            Ok(Format::Json) | Err(_) => None,
        }
    }

    #[test]
    fn the_boundary_is_read_as_clients_write_it() {
        let long = "x".repeat(70);
        for (written, expected) in [
            ("multipart/form-data; boundary=abc", "abc"),
            (
                "multipart/form-data;boundary=----WebKitFormBoundaryAbC1",
                "----WebKitFormBoundaryAbC1",
            ),
            ("Multipart/Form-Data ; Boundary=\"a'()+_,-./:=?b\"", "a'()+_,-./:=?b"),
            ("multipart/form-data; charset=utf-8; boundary=abc", "abc"),
            (format!("multipart/form-data; boundary={long}").as_str(), long.as_str()),
        ] {
            assert_eq!(boundary(written).as_deref(), Some(expected), "{written}");
        }
    }

    #[test]
    fn a_boundary_that_decoders_could_read_differently_is_refused() {
        for written in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"\"",
            "multipart/form-data; boundary=a b",
            "multipart/form-data; boundary=\"a b\"",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; x=\"; boundary=a\"; boundary=b",
            "multipart/form-data; boundary*=utf-8''a",
            "multipart/form-data; boundary = a",
            "multipart/form-data; boundary=\"a\\\"b\"",
            "multipart/form-data; boundary=\"a",
            "multipart/form-data; boundary=a, multipart/form-data; boundary=b",
            "multipart/form-data, application/json; boundary=b",
            "multipart/mixed; boundary=a",
            format!("multipart/form-data; boundary={}", "x".repeat(71)).as_str(),
        ] {
            Format::of(FORM, Some(written)).unwrap_err();
        }
    }

    #[test]
    fn only_the_endpoints_of_forms_take_forms_and_they_take_json_only_under_its_own_name() {
        let form = Some("multipart/form-data; boundary=a");
        let takes_forms: Vec<_> =
            RELAYED.iter().filter(|path| Format::of(path, form).is_ok()).collect();
        assert_eq!(takes_forms, crate::paths::FORMS.iter().collect::<Vec<_>>());
        for written in [None, Some("application/json"), Some("Application/JSON; charset=utf-8")] {
            assert_eq!(Format::of(FORM, written), Ok(Format::Json));
        }
        for written in ["application/x-www-form-urlencoded", "text/plain", ""] {
            Format::of(FORM, Some(written)).unwrap_err();
            assert_eq!(Format::of("/v1/embeddings", Some(written)), Ok(Format::Json));
        }
        for path in [FORM, "/v1/embeddings"] {
            let both = "application/json; x=\"multipart/form-data; boundary=a\"";
            Format::of(path, Some(both)).unwrap_err();
        }
    }
}
