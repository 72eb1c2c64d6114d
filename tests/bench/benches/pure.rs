//! The parts that every request and every token passes, without a socket.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use relay::{
    Actions, Allowed, AnswerEnd, CountedIds, Limits, Owner, OwnerId, Relay, Saved, Submit, TaskId,
    TaskSender,
};
use wire::publisher::{Provider, Register};
use wire::sse::{Decoded, Decoder};

const MIB: usize = 1 << 20;
const CROWD: usize = 10_000;
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
        .bench(|| wire::body::with_model(black_box(&body), "the-backends-own-name").unwrap());
}

struct World {
    relay: Relay,
    out: Actions,
    publishers: Vec<TaskSender>,
    tasks: u128,
}

/// So many publishers, each with one model and an open channel.
fn world(publishers: usize) -> World {
    let relay = Relay::new(
        Limits::default(),
        Saved::default(),
        Box::new(CountedIds::starting_at(1 << 100)),
        NOW,
    );
    let mut world = World { relay, out: Vec::new(), publishers: Vec::new(), tasks: 0 };
    for number in 0..publishers {
        let id = OwnerId(format!("o{number}").into());
        let owner = Owner { id, label: String::new(), groups: Vec::new() };
        let request = Register {
            protocol: 2,
            providers: vec![Provider { name: format!("m{number}"), ..Provider::default() }],
            ..Register::default()
        };
        let done = world.relay.register(&owner, &request, NOW, &mut world.out).unwrap();
        let session = done.provider_session_id.parse().unwrap();
        let opened = world.relay.open_channel(&owner.id, session, NOW, &mut world.out).unwrap();
        world.relay.channel_ready(opened.channel, NOW, &mut world.out);
        world.publishers.push(TaskSender { owner: owner.id, session: Some(session) });
        world.out.clear();
    }
    world
}

impl World {
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

#[divan::bench(args = [1, CROWD])]
fn one_request_from_submit_to_its_end(bencher: Bencher<'_, '_>, publishers: usize) {
    let mut world = world(publishers);
    let from = world.publishers[publishers / 2].clone();
    let name = format!("m{}", publishers / 2);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let task = world.submit(&name);
        world.relay.acknowledge(&from, task, NOW).unwrap();
        world.relay.answer_begins(&from, task, NOW).unwrap();
        world.relay.first_byte(task, &mut world.out);
        world.relay.answer_ended(task, AnswerEnd::Complete, NOW, &mut world.out);
        world.out.clear();
    });
}

/// As many as the queues of so many models take.
#[divan::bench]
fn one_request_while_ten_thousand_wait(bencher: Bencher<'_, '_>) {
    let queue = Limits::default().queue;
    let mut world = world(CROWD / queue + 1);
    for number in 0..CROWD {
        world.submit(&format!("m{}", 1 + number / queue));
    }
    let from = world.publishers[0].clone();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let task = world.submit("m0");
        world.relay.acknowledge(&from, task, NOW).unwrap();
        world.relay.answer_begins(&from, task, NOW).unwrap();
        world.relay.answer_ended(task, AnswerEnd::Complete, NOW, &mut world.out);
        world.out.clear();
    });
}

#[divan::bench]
fn sweep_over_ten_thousand_sessions(bencher: Bencher<'_, '_>) {
    let mut world = world(CROWD);
    let mut now = NOW;
    bencher.bench_local(|| {
        now += 1;
        world.relay.sweep(now, &mut world.out);
        world.out.clear();
    });
}

#[divan::bench]
fn catalogue_of_ten_thousand_rows(bencher: Bencher<'_, '_>) {
    let world = world(CROWD);
    bencher.bench_local(|| world.relay.catalogue().len());
}
