//! Micro-benchmarks of the code that every request or token passes, without sockets.
#![expect(clippy::unwrap_used, reason = "a failure ends the benchmark")]

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use relay::{
    Actions, Allowed, AnswerEnd, CountedIds, Limits, Owner, OwnerId, Relay, Saved, Submit, TaskId,
    TaskSender,
};
use wire::body::{Format, with_model};
use wire::publisher::{Provider, Register};
use wire::sse::{Decoded, Decoder};

const MIB: usize = 1 << 20;
const MANY: usize = 10_000;
const NOW: u64 = 1_000_000;

fn main() {
    divan::main();
}

#[divan::bench]
fn decode_one_mib_of_small_events(bencher: Bencher<'_, '_>) {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"}}]}\n\n";
    let text = event.repeat(MIB / event.len());
    bencher.counter(BytesCount::of_str(&text)).bench(|| {
        let mut events = Vec::<Decoded>::new();
        let mut decoder = Decoder::new(MIB, MIB);
        for piece in text.as_bytes().chunks(16 * 1024) {
            decoder.feed(piece, &mut events);
        }
        events
    });
}

#[divan::bench]
fn rewrite_the_model_in_a_body_of_one_mib(bencher: Bencher<'_, '_>) {
    let prompt = "x".repeat(MIB);
    let body = Bytes::from(format!(
        "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}],\"model\":\"a\",\"n\":1}}"
    ));
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| with_model(&Format::Json, black_box(&body), "the-backends-own-name").unwrap());
}

#[divan::bench]
fn rewrite_the_model_in_a_form_of_one_mib(bencher: Bencher<'_, '_>) {
    let content_type = "multipart/form-data; boundary=----WebKitFormBoundaryAaB03x";
    let format = Format::of("/v1/audio/transcriptions", Some(content_type)).unwrap();
    let part = "------WebKitFormBoundaryAaB03x\r\nContent-Disposition: form-data; name=";
    let file: Vec<u8> = (0..=u8::MAX).cycle().take(MIB).collect();
    let (header, end) = ("\"file\"; filename=\"a.wav\"\r\n\r\n", "\"model\"\r\n\r\na\r\n");
    let (begin, model) = (format!("{part}{header}"), format!("\r\n{part}{end}"));
    let last = b"------WebKitFormBoundaryAaB03x--";
    let body = Bytes::from([begin.as_bytes(), &file, model.as_bytes(), last].concat());
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| with_model(&format, black_box(&body), "the-backends-own-name").unwrap());
}

struct Setup {
    relay: Relay,
    out: Actions,
    publishers: Vec<TaskSender>,
    tasks: u128,
}

/// Creates a relay with this many publishers, each with one model and an open channel.
fn setup(publishers: usize) -> Setup {
    let ids = Box::new(CountedIds::starting_at(1 << 100));
    let relay = Relay::new(Limits::default(), Saved::default(), ids, NOW);
    let mut setup = Setup { relay, out: Vec::new(), publishers: Vec::new(), tasks: 0 };
    for number in 0..publishers {
        let id = OwnerId(format!("o{number}").into());
        let owner = Owner { id, label: String::new(), groups: Vec::new() };
        let request = Register {
            protocol: 2,
            providers: vec![Provider { name: format!("m{number}"), ..Provider::default() }],
            ..Register::default()
        };
        let done = setup.relay.register(&owner, &request, NOW, &mut setup.out).unwrap();
        let session = done.provider_session_id.parse().unwrap();
        let opened = setup.relay.open_channel(&owner.id, session, NOW, &mut setup.out).unwrap();
        setup.relay.channel_ready(opened.channel, NOW, &mut setup.out);
        setup.publishers.push(TaskSender { owner: owner.id, session: Some(session) });
        setup.out.clear();
    }
    setup
}

impl Setup {
    fn submit(&mut self, name: &str) -> TaskId {
        self.tasks += 1;
        let task = TaskId(self.tasks);
        let allowed = Allowed::All;
        let (name, key) = (name.into(), String::new());
        let submit = Submit { name, key, allowed, streaming: true, notices: false };
        self.relay.submit(&submit, task, NOW, &mut self.out).unwrap();
        task
    }
}

#[divan::bench(args = [1, MANY])]
fn one_request_from_submit_to_its_end(bencher: Bencher<'_, '_>, publishers: usize) {
    let mut setup = setup(publishers);
    let from = setup.publishers[publishers / 2].clone();
    let name = format!("m{}", publishers / 2);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let task = setup.submit(&name);
        setup.relay.acknowledge(&from, task, NOW).unwrap();
        setup.relay.answer_begins(&from, task, NOW).unwrap();
        setup.relay.first_byte(task, &mut setup.out);
        setup.relay.answer_ended(task, AnswerEnd::Complete, NOW, &mut setup.out);
        setup.out.clear();
    });
}

/// The waiting requests fill the queues of as many models as necessary.
#[divan::bench]
fn one_request_while_ten_thousand_wait(bencher: Bencher<'_, '_>) {
    let queue = Limits::default().queue;
    let mut setup = setup(MANY / queue + 1);
    for number in 0..MANY {
        setup.submit(&format!("m{}", 1 + number / queue));
    }
    let from = setup.publishers[0].clone();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let task = setup.submit("m0");
        setup.relay.acknowledge(&from, task, NOW).unwrap();
        setup.relay.answer_begins(&from, task, NOW).unwrap();
        setup.relay.answer_ended(task, AnswerEnd::Complete, NOW, &mut setup.out);
        setup.out.clear();
    });
}

#[divan::bench]
fn sweep_over_ten_thousand_sessions(bencher: Bencher<'_, '_>) {
    let mut setup = setup(MANY);
    let mut now = NOW;
    bencher.bench_local(|| {
        now += 1;
        setup.relay.sweep(now, &mut setup.out);
        setup.out.clear();
    });
}

#[divan::bench]
fn catalogue_of_ten_thousand_entries(bencher: Bencher<'_, '_>) {
    let setup = setup(MANY);
    bencher.bench_local(|| setup.relay.catalogue().len());
}
