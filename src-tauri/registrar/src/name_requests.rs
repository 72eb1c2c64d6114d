//! Requests of other users to serve a name of this publisher: which of them are shown. Pure; a server
//! may send anything.

use crate::config::Config;
use crate::config::name_sharing::check_user;
use wire::limits::NAME_REQUESTS;
use wire::publisher::NameRequest;

/// The requests that can be shown and granted as they are. A request of `*` or of a group would share
/// the name with more users than the one whose name is read.
pub(crate) fn usable(sent: Vec<NameRequest>) -> Vec<NameRequest> {
    let is_usable = |request: &NameRequest| {
        wire::names::normalise(&request.name).is_ok_and(|name| name == request.name)
            && check_user(&request.user).is_ok()
    };
    sent.into_iter().filter(is_usable).take(NAME_REQUESTS).collect()
}

/// The requests for names of this file that are neither granted nor declined.
pub(crate) fn open(usable: &[NameRequest], config: &Config) -> Vec<NameRequest> {
    let is_open = |request: &&NameRequest| {
        config.serving(&request.name).is_some_and(|provider| {
            let lists =
                |list: &[String], user: &str| list.iter().any(|e| e.eq_ignore_ascii_case(user));
            !lists(&provider.decline_name, &request.user)
                && !lists(&provider.share_name, &request.user)
                && !lists(&provider.share_name, "*")
        })
    };
    usable.iter().filter(is_open).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{open, usable};
    use wire::publisher::NameRequest;

    fn request(name: &str, user: &str) -> NameRequest {
        NameRequest { name: name.into(), user: user.into() }
    }

    #[test]
    fn an_invalid_request_is_not_shown() {
        let good = request("qwen", "tom");
        let sent = vec![
            request("qwen", "*"),
            request("qwen", "group:everybody"),
            request("qwen", "tom\u{1b}[2K"),
            request("qwen", &"x".repeat(120_000)),
            request("Q w", "tom"),
            good.clone(),
        ];
        assert_eq!(usable(sent), [good]);
        let many = (0..1000).map(|n| request("qwen", &format!("u{n}"))).collect();
        assert_eq!(usable(many).len(), 20);
    }

    #[test]
    fn a_request_is_open_until_it_is_decided_and_only_where_the_name_is_served() {
        let text = r#"{"llm": {"providers": [
            {"name": "a", "type": "vllm", "shareName": ["Ann"], "declineName": ["bob"]},
            {"name": "b", "type": "vllm", "pool": "Shared", "shareName": ["*"]},
            {"name": "c", "type": "vllm", "pool": "both"}]}}"#;
        let config = crate::config::parse(text).unwrap().config;
        let sent = [
            request("a", "ann"),
            request("a", "bob"),
            request("a", "tom"),
            request("shared", "tom"),
            request("both", "tom"),
            request("elsewhere", "tom"),
        ];
        assert_eq!(open(&sent, &config), [request("a", "tom"), request("both", "tom")]);
    }
}
