//! The outbox alone, and against a receiver over uplinks that break anywhere.

use super::{End, LARGEST_TURN, Outbox};
use crate::limits::{KEPT, KEPT_ALWAYS, TURN};
use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;
use tokio::time::Instant;
use wire::frames::{Decoder, Frame, Kind};
use wire::limits::{BATCH, FRAME, WINDOW, WINDOW_MAX};

const HEAD: &[u8] = b"{\"status\":200}";

fn outbox(tasks: &[u128]) -> Outbox {
    let mut outbox = Outbox::default();
    for task in tasks {
        outbox.begin(*task, Instant::now());
    }
    outbox
}

fn gathered(outbox: &mut Outbox, enough: usize) -> Vec<Frame> {
    let mut out = BytesMut::new();
    outbox.gather(enough, &mut out);
    read(&mut Decoder::default(), out.freeze())
}

fn read(decoder: &mut Decoder, bytes: Bytes) -> Vec<Frame> {
    decoder.feed(bytes);
    std::iter::from_fn(|| decoder.next_frame().unwrap()).collect()
}

fn kinds(frames: &[Frame]) -> Vec<(u128, Kind)> {
    frames.iter().map(|frame| (frame.task, frame.kind)).collect()
}

fn zeros(length: usize) -> Bytes {
    BytesMut::zeroed(length).freeze()
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn what_several_answers_have_ready_is_one_write() {
    let mut outbox = outbox(&[1, 2]);
    for task in [1, 2] {
        outbox.head(task, HEAD.to_vec());
        outbox.data(task, Bytes::from_static(b"hello"));
        outbox.end(task, End::Complete);
    }
    let frames = gathered(&mut outbox, FRAME);
    let whole = |task| [(task, Kind::Head), (task, Kind::Data), (task, Kind::End)];
    assert_eq!(kinds(&frames), [whole(1), whole(2)].concat());
    assert_eq!((&frames[0].payload[..], &frames[1].payload[..]), (HEAD, &b"hello"[..]));
    assert!(!outbox.is_ready() && !outbox.is_empty());
    assert!(outbox.finished(1) && outbox.finished(2) && !outbox.finished(2));
    assert!(outbox.is_empty() && outbox.kept == 0);
}

#[test]
fn answers_take_turns_of_sixteen_kibibytes() {
    let mut outbox = outbox(&[1, 2]);
    for task in [1, 2] {
        outbox.data(task, zeros(3 * TURN));
    }
    let frames = gathered(&mut outbox, usize::MAX);
    let order: Vec<_> = frames.iter().map(|frame| (frame.task, frame.offset)).collect();
    let turn = TURN as u64;
    assert_eq!(order, [(1, 0), (2, 0), (1, turn), (2, turn), (1, 2 * turn), (2, 2 * turn)]);
}

#[test]
fn a_batch_keeps_its_limit_whatever_waits() {
    let tasks: Vec<u128> = (0..200).collect();
    let mut outbox = outbox(&tasks);
    for task in tasks {
        outbox.head(task, vec![b' '; FRAME]);
        outbox.data(task, zeros(TURN));
        outbox.end(task, End::Failed(vec![b' '; FRAME]));
    }
    while outbox.is_ready() {
        let mut out = BytesMut::new();
        outbox.gather(BATCH - LARGEST_TURN, &mut out);
        assert!(!out.is_empty() && out.len() <= BATCH);
    }
}

#[test]
fn no_more_than_the_window_is_sent_or_read_before_it_is_taken() {
    let (mut outbox, woken) = (outbox(&[1]), Arc::new(Woken::default()));
    let reader = Waker::from(Arc::clone(&woken));
    let window = usize::try_from(WINDOW).unwrap();
    outbox.data(1, zeros(window - 1));
    assert!(outbox.has_room(1, &reader));
    outbox.data(1, zeros(10));
    outbox.end(1, End::Complete);
    assert!(!outbox.has_room(1, &reader));
    let sent = |frames: Vec<Frame>| frames.iter().map(|frame| frame.payload.len()).sum::<usize>();
    assert_eq!(sent(gathered(&mut outbox, usize::MAX)), window);
    outbox.taken(1, 4, WINDOW);
    assert_eq!((sent(gathered(&mut outbox, usize::MAX)), woken.count()), (4, 0));
    outbox.taken(1, 10, WINDOW);
    let frames = gathered(&mut outbox, usize::MAX);
    assert_eq!(kinds(&frames), [(1, Kind::Data), (1, Kind::End)]);
    assert_eq!(woken.count(), 1);
}

#[test]
fn a_grant_that_cannot_be_true_is_not_believed() {
    let mut outbox = outbox(&[1]);
    outbox.data(1, zeros(100));
    assert_eq!(gathered(&mut outbox, usize::MAX).len(), 1);
    outbox.data(1, zeros(100));
    outbox.taken(1, 150, WINDOW);
    assert_eq!(outbox.answers[&1].kept.start(), 0, "it was not sent yet");
    outbox.taken(1, 60, u64::MAX);
    assert_eq!(outbox.answers[&1].kept.start(), 60);
    assert_eq!(outbox.answers[&1].room(), usize::try_from(WINDOW_MAX).unwrap() - 140);
    outbox.taken(1, 30, 0);
    assert_eq!(outbox.answers[&1].kept.start(), 60, "it goes back");
    outbox.taken(1, 60, 0);
    assert!(gathered(&mut outbox, usize::MAX).is_empty());
    outbox.taken(2, 60, WINDOW);
    outbox.uplink_lost();
    outbox.taken(1, 100, WINDOW);
    let frames = gathered(&mut outbox, usize::MAX);
    assert_eq!((frames[0].offset, frames.len()), (100, 1), "it was sent on the last uplink");
    outbox.uplink_lost();
    outbox.resume(1, 1000);
    assert_eq!(gathered(&mut outbox, usize::MAX)[0].offset, 100);
}

#[test]
fn a_stopped_answer_ends_at_once_and_a_failed_one_behind_its_bytes() {
    let mut outbox = outbox(&[1, 2, 3]);
    for task in [1, 2, 3] {
        outbox.head(task, HEAD.to_vec());
        outbox.data(task, Bytes::from_static(b"hello"));
    }
    outbox.end(1, End::Failed(b"{}".to_vec()));
    assert!(outbox.stop(2, b"{}".to_vec()));
    outbox.end(3, End::Complete);
    outbox.data(2, Bytes::from_static(b"late"));
    let frames = gathered(&mut outbox, usize::MAX);
    let expected = [
        (1, Kind::Head),
        (1, Kind::Data),
        (1, Kind::Failed),
        (2, Kind::Head),
        (2, Kind::Failed),
        (3, Kind::Head),
        (3, Kind::Data),
        (3, Kind::End),
    ];
    assert_eq!(kinds(&frames), expected);
    assert!(!outbox.stop(3, b"{}".to_vec()), "it was complete");
    assert_eq!(kinds(&gathered(&mut outbox, usize::MAX)), [(3, Kind::End)], "said once more");
    assert!(!outbox.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_task_is_acknowledged_only_if_nothing_was_sent_for_a_while() {
    let (mut outbox, begun) = (Outbox::default(), Instant::now());
    assert!(outbox.begin(1, begun) && !outbox.begin(2, begun));
    let later = begun + Duration::from_secs(1);
    outbox.begin(3, later);
    outbox.head(2, HEAD.to_vec());
    gathered(&mut outbox, usize::MAX);
    outbox.acknowledge(begun);
    assert_eq!(kinds(&gathered(&mut outbox, usize::MAX)), [(1, Kind::Accepted)]);
    assert_eq!(outbox.oldest_unacknowledged(), Some(later));
    outbox.uplink_lost();
    let frames = gathered(&mut outbox, usize::MAX);
    let mut again = kinds(&frames);
    again.sort_by_key(|(task, _)| *task);
    assert_eq!(again, [(1, Kind::Accepted), (2, Kind::Head)]);
    outbox.acknowledge(later);
    outbox.end(3, End::Failed(Vec::new()));
    let frames = gathered(&mut outbox, usize::MAX);
    assert_eq!(kinds(&frames), [(3, Kind::Accepted), (3, Kind::Failed)]);
    assert_eq!(outbox.oldest_unacknowledged(), None);
}

#[test]
fn all_answers_together_are_bounded_and_each_keeps_a_little() {
    let window = usize::try_from(WINDOW).unwrap();
    let tasks: Vec<u128> = (0..(KEPT / window) as u128 + 1).collect();
    let (mut outbox, woken) = (outbox(&tasks), Arc::new(Woken::default()));
    let reader = Waker::from(Arc::clone(&woken));
    let (last, others) = tasks.split_last().unwrap();
    for task in others {
        outbox.data(*task, zeros(window));
    }
    assert!(outbox.has_room(*last, &reader));
    outbox.data(*last, zeros(KEPT_ALWAYS));
    assert!(!outbox.has_room(*last, &reader));
    outbox.finished(0);
    assert_eq!(woken.count(), 1);
    assert!(outbox.has_room(*last, &reader));
}

/// The server's end of the uplinks, by the rules of the protocol.
#[derive(Default)]
struct Receiver {
    answers: BTreeMap<u128, Received>,
    /// Heads of the uplink that is open.
    heads: HashSet<u128>,
    decoder: Decoder,
}

#[derive(Default)]
struct Received {
    has_begun: bool,
    body: Vec<u8>,
    taken: u64,
    window: u64,
    is_complete: bool,
}

impl Receiver {
    fn receive(&mut self, bytes: Bytes) {
        for Frame { kind, task, offset, payload } in read(&mut self.decoder, bytes) {
            let Some(answer) = self.answers.get_mut(&task) else { panic!("an unknown task") };
            // The server has forgotten it.
            if answer.is_complete {
                continue;
            }
            match kind {
                Kind::Accepted => assert!(!answer.has_begun),
                Kind::Head => {
                    assert!(self.heads.insert(task), "a second head");
                    assert_eq!(payload, HEAD);
                    answer.has_begun = true;
                }
                Kind::Data => {
                    assert!(answer.has_begun && !payload.is_empty());
                    let has = answer.body.len() as u64;
                    assert!(offset <= has, "a gap");
                    let end = offset + payload.len() as u64;
                    assert!(end <= answer.taken + answer.window, "beyond the window");
                    let known = usize::try_from((has - offset).min(payload.len() as u64)).unwrap();
                    answer.body.extend_from_slice(&payload[known..]);
                }
                Kind::End => {
                    assert!(answer.has_begun);
                    answer.is_complete = true;
                }
                Kind::Failed | Kind::Unknown(_) => panic!("no task has failed"),
            }
        }
    }

    fn next_uplink(&mut self) {
        self.heads.clear();
        self.decoder = Decoder::default();
    }
}

/// One run: answers of random lengths, over uplinks that end and break at random.
struct Run {
    random: StdRng,
    outbox: Outbox,
    receiver: Receiver,
    bodies: BTreeMap<u128, Vec<u8>>,
    /// What was read of each body.
    read: BTreeMap<u128, usize>,
    /// Bytes that were sent on the uplink and have not arrived.
    under_way: BytesMut,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut outbox, mut receiver) = (Outbox::default(), Receiver::default());
        let (mut bodies, mut read) = (BTreeMap::new(), BTreeMap::new());
        for task in 0..random.random_range(1..6) {
            let lengths = [0, 1, 700, 9_000, 90_000, 700_000];
            let most = *lengths.choose(&mut random).unwrap();
            let length = random.random_range(0..=most);
            bodies.insert(task, (0..length).map(|_| random.random()).collect());
            read.insert(task, 0);
            outbox.begin(task, Instant::now());
            receiver.answers.insert(task, Received { window: WINDOW, ..Received::default() });
        }
        Self { random, outbox, receiver, bodies, read, under_way: BytesMut::new() }
    }

    fn step(&mut self) {
        match self.random.random_range(0..20) {
            0..8 => self.read_backend(),
            8..12 => self.outbox.gather(self.random.random_range(1..100_000), &mut self.under_way),
            12..15 => self.arrive(),
            15 | 16 => self.take(),
            17 => self.finish(),
            18 => self.lose_uplink(),
            _ => self.end_uplink(),
        }
    }

    fn read_backend(&mut self) {
        let task = self.random.random_range(0..self.bodies.len() as u128);
        let (body, read) = (&self.bodies[&task], self.read.get_mut(&task).unwrap());
        if *read == 0 {
            self.outbox.head(task, HEAD.to_vec());
        }
        if *read == body.len() {
            self.outbox.end(task, End::Complete);
        } else if self.outbox.has_room(task, Waker::noop()) {
            let most = *[10, 3_000, 60_000].choose(&mut self.random).unwrap();
            let next = (*read + self.random.random_range(1..most)).min(body.len());
            self.outbox.data(task, Bytes::copy_from_slice(&body[*read..next]));
            *read = next;
        }
    }

    /// A part of what is under way arrives.
    fn arrive(&mut self) {
        let at = self.random.random_range(0..=self.under_way.len());
        self.receiver.receive(self.under_way.split_to(at).freeze());
    }

    fn take(&mut self) {
        let Some((task, answer)) = self.receiver.answers.iter_mut().next_back() else { return };
        let (task, has) = (*task, answer.body.len() as u64);
        answer.taken = self.random.random_range(answer.taken..=has);
        answer.window = self.random.random_range(answer.window..=WINDOW_MAX.min(2 * WINDOW));
        self.grant(task);
        for task in self.bodies.keys().copied().collect::<Vec<_>>() {
            let answer = self.receiver.answers.get_mut(&task).unwrap();
            answer.taken = answer.body.len() as u64;
            // A grant may be lost; the next one makes up for it.
            if self.random.random_bool(0.7) {
                self.grant(task);
            }
        }
    }

    fn grant(&mut self, task: u128) {
        let answer = &self.receiver.answers[&task];
        self.outbox.taken(task, answer.taken, answer.window);
    }

    fn finish(&mut self) {
        for (task, answer) in &self.receiver.answers {
            // The notice may be lost; it is repeated.
            if answer.is_complete && self.random.random_bool(0.5) {
                self.outbox.finished(*task);
            }
        }
    }

    fn lose_uplink(&mut self) {
        self.arrive();
        self.under_way.clear();
        self.receiver.next_uplink();
        self.outbox.uplink_lost();
        if self.random.random_bool(0.5) {
            for (task, answer) in &self.receiver.answers {
                self.outbox.resume(*task, answer.body.len() as u64);
            }
        }
    }

    fn end_uplink(&mut self) {
        self.receiver.receive(self.under_way.split().freeze());
        assert!(!self.receiver.decoder.is_inside_frame(), "it ends between two frames");
        self.receiver.next_uplink();
    }
}

#[test]
fn every_answer_arrives_once_and_whole_over_uplinks_that_break_anywhere() {
    for seed in 0..150 {
        let mut run = Run::new(seed);
        let mut steps = 0;
        while !run.outbox.is_empty() {
            run.step();
            steps += 1;
            assert!(steps < 100_000, "seed {seed}: it does not end");
        }
        for (task, answer) in &run.receiver.answers {
            assert!(answer.body == run.bodies[task], "seed {seed}: answer {task} differs");
        }
        assert_eq!(run.outbox.kept, 0);
    }
}
