//! What a server says is a stranger's word: texts are cut and made printable, ids are checked and lists
//! are cut before anything else of this program sees them.

use crate::limits;
use wire::control::Task;
use wire::names::printable;
use wire::publisher::{Registered, Rejected};

/// The text as people may see it: at most [`wire::limits::TEXT`] characters, all of them printable.
pub(crate) fn text(text: &str) -> String {
    let cut = text.char_indices().nth(wire::limits::TEXT).map_or(text, |(at, _)| &text[..at]);
    printable(cut)
}

/// Whether this is an id, and nothing that could change the path in which it stands. mcpd's are 32 hex
/// digits; a server of protocol 1 may have others.
fn is_id(id: &str, longest: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !id.is_empty() && id.len() <= longest && id.bytes().all(plain)
}

fn is_task_id(id: &str) -> bool {
    is_id(id, limits::TASK_ID)
}

/// The id of the task whose event begins so, when it stands there.
pub(crate) fn task_id_in(begins: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\"taskId\":\"";
    let at = memchr::memmem::find(begins, KEY)? + KEY.len();
    let end = at + memchr::memchr(b'"', &begins[at..])?;
    let id = std::str::from_utf8(&begins[at..end]).ok()?;
    is_task_id(id).then(|| id.to_owned())
}

/// The task, when its id is one.
pub(crate) fn task(task: Task) -> Option<Task> {
    let checked = match task {
        Task::Infer(mut task) => {
            task.llm_name = text(&task.llm_name);
            task.user = task.user.as_deref().map(text);
            task.path = task.path.as_deref().map(text);
            Task::Infer(task)
        }
        Task::Wake(mut task) => {
            task.llm_name = text(&task.llm_name);
            Task::Wake(task)
        }
    };
    let id = match &checked {
        Task::Infer(task) => &task.task_id,
        Task::Wake(task) => &task.task_id,
    };
    is_task_id(id).then_some(checked)
}

/// The answer to a register; none when its session id is no such thing.
pub(crate) fn registered(mut said: Registered) -> Option<Registered> {
    if !is_id(&said.provider_session_id, limits::SESSION_ID) {
        return None;
    }
    said.rejected.truncate(limits::REFUSALS);
    for refused in &mut said.rejected {
        *refused = Rejected {
            name: text(&refused.name),
            code: text(refused.code.as_str()).as_str().into(),
            detail: text(&refused.detail),
            suggestion: refused.suggestion.as_deref().map(text),
        };
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::{registered, task, task_id_in, text};
    use wire::control::Task;
    use wire::publisher::Registered;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_text_is_cut_and_made_harmless() {
        assert_eq!(text(&"ä".repeat(300)), "ä".repeat(256));
        assert_eq!(text("a\u{1b}[2Jb\u{202e}"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn an_id_that_could_change_a_path_is_no_tasks_id() {
        let read = |id: &str| {
            let frame = serde_json::json!({"kind": "wake", "taskId": id, "llmName": "a"});
            task(Task::read(&frame.to_string()).unwrap()).is_some()
        };
        assert!(read(ID) && read("seed-7") && read("8b0b31f0-7a3c-4a52-9f0e-0c1d2e3f4a5b"));
        for id in ["", "../../../../v1", "a/b", "a?b", "a%2fb", "a b", &"a".repeat(65)] {
            assert!(!read(id), "{id}");
        }
    }

    #[test]
    fn a_tasks_id_is_found_in_the_beginning_of_its_event() {
        let begins = format!("{{\"kind\":\"infer\",\"taskId\":\"{ID}\",\"llmName\":\"q");
        assert_eq!(task_id_in(begins.as_bytes()).as_deref(), Some(ID));
        for end in 0..begins.find("\",\"llm").unwrap() + 1 {
            assert_eq!(task_id_in(&begins.as_bytes()[..end]), None, "cut at {end}");
        }
        let other = begins.replace(ID, "../../../../../../../../v1/pairing");
        assert_eq!(task_id_in(other.as_bytes()), None);
    }

    #[test]
    fn a_session_id_that_is_none_makes_the_answer_unusable() {
        let with = |id: &str| {
            let said = serde_json::json!({"providerSessionId": id});
            registered(serde_json::from_value::<Registered>(said).unwrap())
        };
        assert!(with("seed-session_0001").is_some());
        for id in ["", "a b", "a\n", "../x", &"a".repeat(129)] {
            assert!(with(id).is_none(), "{id:?}");
        }
    }
}
