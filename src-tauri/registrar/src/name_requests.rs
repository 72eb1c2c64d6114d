//! Other users' requests to serve a name of this machine's owner: which of them the owner is shown.
//! Pure; what a server sends may be anything.

use crate::config::Config;
use crate::config::name_sharing::check_user;
use wire::limits::NAME_REQUESTS;
use wire::publisher::NameRequest;

/// Those that can be shown and granted as they are. A request of `*` or of a group would share the
/// name with more than the one user whom its owner reads.
pub(crate) fn usable(sent: Vec<NameRequest>) -> Vec<NameRequest> {
    let is_usable = |request: &NameRequest| {
        wire::names::normalise(&request.name).is_ok_and(|name| name == request.name)
            && check_user(&request.user).is_ok()
    };
    sent.into_iter().filter(is_usable).take(NAME_REQUESTS).collect()
}

/// Those about a provider of this file that its owner has neither granted nor declined.
pub(crate) fn open(usable: &[NameRequest], config: &Config) -> Vec<NameRequest> {
    let is_open = |request: &&NameRequest| {
        config.serving(&request.name).is_some_and(|provider| {
            let named =
                |list: &[String], who: &str| list.iter().any(|e| e.eq_ignore_ascii_case(who));
            !named(&provider.decline_name, &request.user)
                && !named(&provider.share_name, &request.user)
                && !named(&provider.share_name, "*")
        })
    };
    usable.iter().filter(is_open).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{open, usable};
    use wire::publisher::NameRequest;

    fn asks(name: &str, user: &str) -> NameRequest {
        NameRequest { name: name.into(), user: user.into() }
    }

    #[test]
    fn what_a_bad_server_sends_is_neither_shown_nor_can_it_be_granted() {
        let good = asks("qwen", "tom");
        let sent = vec![
            asks("qwen", "*"),
            asks("qwen", "group:everybody"),
            asks("qwen", "tom\u{1b}[2K"),
            asks("qwen", &"x".repeat(120_000)),
            asks("Q w", "tom"),
            good.clone(),
        ];
        assert_eq!(usable(sent), [good]);
        let many = (0..1000).map(|n| asks("qwen", &format!("u{n}"))).collect();
        assert_eq!(usable(many).len(), 20);
    }

    #[test]
    fn a_request_is_open_until_its_owner_decides_and_only_where_the_name_is_served() {
        let text = r#"{"llm": {"providers": [
            {"name": "a", "type": "vllm", "shareName": ["Ann"], "declineName": ["bob"]},
            {"name": "b", "type": "vllm", "pool": "Shared", "shareName": ["*"]},
            {"name": "c", "type": "vllm", "pool": "both"}]}}"#;
        let config = crate::config::parse(text).unwrap().config;
        let sent = [
            asks("a", "ann"),
            asks("a", "bob"),
            asks("a", "tom"),
            asks("shared", "tom"),
            asks("both", "tom"),
            asks("elsewhere", "tom"),
        ];
        assert_eq!(open(&sent, &config), [asks("a", "tom"), asks("both", "tom")]);
    }
}
