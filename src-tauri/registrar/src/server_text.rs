//! Sanitizes what a server sends, which is untrusted: texts are cut and made printable, ids are
//! checked and lists are cut before other modules use them.

use crate::limits;
use wire::control::Task;
use wire::names::printable;
use wire::publisher::{Registered, Rejected};

/// Cuts a text to [`wire::limits::TEXT`] characters and replaces unprintable ones.
pub(crate) fn clean(text: &str) -> String {
    let cut = text.char_indices().nth(wire::limits::TEXT).map_or(text, |(at, _)| &text[..at]);
    printable(cut)
}

/// True if this is an id that cannot change the URL path it is put into. mcpd's ids are 32 hex
/// digits; a protocol-1 server may use others.
fn is_id(id: &str, max_length: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !id.is_empty() && id.len() <= max_length && id.bytes().all(plain)
}

fn is_task_id(id: &str) -> bool {
    is_id(id, limits::TASK_ID)
}

/// Returns the task id in the start of a task event's data, if it is complete and valid.
pub(crate) fn task_id_in(prefix: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\"taskId\":\"";
    let at = memchr::memmem::find(prefix, KEY)? + KEY.len();
    let end = at + memchr::memchr(b'"', &prefix[at..])?;
    let id = std::str::from_utf8(&prefix[at..end]).ok()?;
    is_task_id(id).then(|| id.to_owned())
}

/// Returns the task with clean texts, or `None` if its id is invalid.
pub(crate) fn checked_task(task: Task) -> Option<Task> {
    let checked = match task {
        Task::Infer(mut task) => {
            task.llm_name = clean(&task.llm_name);
            task.user = task.user.as_deref().map(clean);
            task.path = task.path.as_deref().map(clean);
            Task::Infer(task)
        }
        Task::Wake(mut task) => {
            task.llm_name = clean(&task.llm_name);
            Task::Wake(task)
        }
    };
    let id = match &checked {
        Task::Infer(task) => &task.task_id,
        Task::Wake(task) => &task.task_id,
    };
    is_task_id(id).then_some(checked)
}

/// Returns the response to register with clean texts, or `None` if its session id is invalid.
pub(crate) fn checked_registration(mut registered: Registered) -> Option<Registered> {
    if !is_id(&registered.provider_session_id, limits::SESSION_ID) {
        return None;
    }
    registered.rejected.truncate(limits::REFUSALS);
    for refused in &mut registered.rejected {
        *refused = Rejected {
            name: clean(&refused.name),
            code: clean(refused.code.as_str()).as_str().into(),
            detail: clean(&refused.detail),
            suggestion: refused.suggestion.as_deref().map(clean),
        };
    }
    Some(registered)
}

#[cfg(test)]
mod tests {
    use super::{checked_registration, checked_task, clean, task_id_in};
    use wire::control::Task;
    use wire::publisher::Registered;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_text_is_cut_and_made_printable() {
        assert_eq!(clean(&"ä".repeat(300)), "ä".repeat(256));
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn a_task_whose_id_could_change_a_path_is_refused() {
        let read = |id: &str| {
            let frame = serde_json::json!({"kind": "wake", "taskId": id, "llmName": "a"});
            checked_task(Task::read(&frame.to_string()).unwrap()).is_some()
        };
        assert!(read(ID) && read("seed-7") && read("8b0b31f0-7a3c-4a52-9f0e-0c1d2e3f4a5b"));
        for id in ["", "../../../../v1", "a/b", "a?b", "a%2fb", "a b", &"a".repeat(65)] {
            assert!(!read(id), "{id}");
        }
    }

    #[test]
    fn a_task_id_is_found_in_the_start_of_its_event() {
        let prefix = format!("{{\"kind\":\"infer\",\"taskId\":\"{ID}\",\"llmName\":\"q");
        assert_eq!(task_id_in(prefix.as_bytes()).as_deref(), Some(ID));
        for end in 0..prefix.find("\",\"llm").unwrap() + 1 {
            assert_eq!(task_id_in(&prefix.as_bytes()[..end]), None, "cut at {end}");
        }
        let other = prefix.replace(ID, "../../../../../../../../v1/pairing");
        assert_eq!(task_id_in(other.as_bytes()), None);
    }

    #[test]
    fn a_registration_with_an_invalid_session_id_is_refused() {
        let with = |id: &str| {
            let sent = serde_json::json!({"providerSessionId": id});
            checked_registration(serde_json::from_value::<Registered>(sent).unwrap())
        };
        assert!(with("seed-session_0001").is_some());
        for id in ["", "a b", "a\n", "../x", &"a".repeat(129)] {
            assert!(with(id).is_none(), "{id:?}");
        }
    }
}
