//! Who is next: nothing is lost, nothing runs twice, nobody starves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use glassd_inference::serving::{Batching, Class, MOST_PASSED_OVER, Next, Priority, Queue, Request};
use proptest::prelude::*;

fn request(stream: &str, target: &str, class: Class, job: u32) -> Request<u32> {
    let (stream, target) = (stream.to_owned(), target.to_owned());
    Request { stream, target, class, priority: Priority::Normal, deadline: None, job }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Runs what is next; returns the jobs.
fn run(queue: &mut Queue<u32>, now: Instant) -> Vec<u32> {
    match queue.next(now) {
        Next::Run(requests) => requests.into_iter().map(|request| request.job).collect(),
        Next::WaitUntil(_) | Next::Idle => Vec::new(),
    }
}

#[test]
fn a_newer_frame_takes_the_place_and_the_turn_of_the_older() {
    let now = Instant::now();
    let mut queue = Queue::new(8);
    assert_eq!(queue.submit(request("a", "m", Class::Frame, 1), now).unwrap(), None);
    assert_eq!(queue.submit(request("b", "m", Class::Frame, 2), now).unwrap(), None);
    assert_eq!(queue.submit(request("a", "m", Class::Frame, 3), now).unwrap(), Some(1));
    assert_eq!(queue.submit(request("a", "n", Class::Frame, 4), now).unwrap(), None);
    assert_eq!([run(&mut queue, now), run(&mut queue, now), run(&mut queue, now)], [[3], [2], [4]]);
    assert_eq!(queue.next(now), Next::Idle);
}

#[test]
fn questions_go_first_and_are_refused_rather_than_dropped() {
    let now = Instant::now();
    let mut queue = Queue::new(2);
    queue.submit(request("a", "m", Class::Frame, 1), now).unwrap();
    queue.submit(request("a", "m", Class::Question, 2), now).unwrap();
    queue.submit(request("a", "m", Class::Question, 3), now).unwrap();
    let refused = queue.submit(request("a", "m", Class::Question, 4), now).unwrap_err();
    assert_eq!(refused.job, 4);
    assert!(refused.to_string().starts_with("2 questions wait"), "{refused}");
    assert_eq!([run(&mut queue, now), run(&mut queue, now), run(&mut queue, now)], [[2], [3], [1]]);
}

#[test]
fn the_order_is_by_priority_then_deadline_then_arrival() {
    let now = Instant::now();
    let mut queue = Queue::new(8);
    let frame = |stream, job| request(stream, "m", Class::Frame, job);
    queue.submit(frame("a", 1), now).unwrap();
    queue.submit(Request { deadline: Some(now + ms(900)), ..frame("b", 2) }, now).unwrap();
    queue.submit(Request { deadline: Some(now + ms(500)), ..frame("c", 3) }, now).unwrap();
    queue.submit(Request { priority: Priority::High, ..frame("d", 4) }, now).unwrap();
    let order: Vec<u32> = (0..4).flat_map(|_| run(&mut queue, now)).collect();
    assert_eq!(order, [4, 3, 2, 1]);
}

#[test]
fn what_can_no_longer_be_in_time_is_given_back() {
    let now = Instant::now();
    let mut queue = Queue::new(8);
    queue.ran("m", ms(40));
    queue.ran("m", ms(70));
    let due =
        |deadline, job| Request { deadline: Some(now + deadline), ..request("a", "m", Class::Question, job) };
    queue.submit(due(ms(39), 1), now).unwrap();
    queue.submit(due(ms(40), 2), now).unwrap();
    queue.submit(Request { target: "new".into(), ..due(ms(1), 3) }, now).unwrap();
    assert_eq!(queue.expired(now), [1]);
    assert_eq!(queue.expired(now + ms(1)), [2]);
    assert_eq!(queue.expired(now + ms(2)), [3]);
}

#[test]
fn frames_wait_for_company_and_no_longer() {
    let now = Instant::now();
    let mut queue = Queue::new(8);
    queue.set_batching("m", Batching { largest: 3, wait: ms(5) });
    queue.submit(request("a", "m", Class::Frame, 1), now).unwrap();
    assert_eq!(queue.next(now), Next::WaitUntil(now + ms(5)));
    queue.submit(request("b", "m", Class::Frame, 2), now + ms(2)).unwrap();
    // Another model does not wait for this one.
    queue.submit(request("a", "n", Class::Frame, 3), now + ms(2)).unwrap();
    assert_eq!(run(&mut queue, now + ms(2)), [3]);
    assert_eq!(queue.next(now + ms(4)), Next::WaitUntil(now + ms(5)));
    assert_eq!(run(&mut queue, now + ms(5)), [1, 2]);
    // A full batch goes at once, a question too, and takes what waits with it.
    for (stream, job) in [("a", 4), ("b", 5), ("c", 6), ("d", 7)] {
        queue.submit(request(stream, "m", Class::Frame, job), now + ms(6)).unwrap();
    }
    assert_eq!(run(&mut queue, now + ms(6)), [4, 5, 6]);
    queue.submit(request("a", "m", Class::Question, 8), now + ms(6)).unwrap();
    assert_eq!(run(&mut queue, now + ms(6)), [8, 7]);
}

#[test]
fn a_batch_does_not_wait_past_a_deadline() {
    let now = Instant::now();
    let mut queue = Queue::new(8);
    queue.set_batching("m", Batching { largest: 3, wait: ms(50) });
    queue.ran("m", ms(10));
    let deadline = Some(now + ms(30));
    queue.submit(Request { deadline, ..request("a", "m", Class::Frame, 1) }, now).unwrap();
    assert_eq!(queue.next(now), Next::WaitUntil(now + ms(20)));
    assert!(queue.expired(now + ms(20)).is_empty());
    assert_eq!(run(&mut queue, now + ms(20)), [1]);
}

/// One step of a random life of a queue.
#[derive(Clone, Debug)]
enum Step {
    Submit { stream: u8, target: u8, class: Class, priority: Priority, deadline_ms: Option<u64> },
    Pass(u64),
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![Just(Class::Frame), Just(Class::Question)];
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Normal)];
    let submit = (0..4_u8, 0..3_u8, class, priority, prop::option::weighted(0.3, 0..60_u64));
    prop_oneof![
        4 => submit.prop_map(|(stream, target, class, priority, deadline_ms)| Step::Submit {
            stream, target, class, priority, deadline_ms
        }),
        1 => (0..20_u64).prop_map(Step::Pass),
        3 => Just(Step::Poll),
    ]
}

/// What a job is known by from outside: where it waits, since when, and who waited when it came.
struct Waiting {
    request: Request<u32>,
    since: Instant,
    before: usize,
    passed: usize,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_nothing_runs_twice_nobody_starves(steps in prop::collection::vec(step(), 1..200)) {
        const LARGEST: [usize; 3] = [1, 2, 4];
        const WAIT: Duration = Duration::from_millis(10);
        const MOST_QUESTIONS: usize = 12;
        let mut now = Instant::now();
        let mut queue = Queue::new(MOST_QUESTIONS);
        for (target, largest) in LARGEST.into_iter().enumerate() {
            queue.set_batching(&target.to_string(), Batching { largest, wait: WAIT });
        }
        let mut waiting: BTreeMap<u32, Waiting> = BTreeMap::new();
        let mut left: BTreeSet<u32> = BTreeSet::new();
        let mut leave = |job: u32| assert!(left.insert(job), "{job} left twice");
        // In the end everything is polled out.
        let steps = steps.into_iter().chain((0..600).flat_map(|_| [Step::Poll, Step::Pass(1)]));
        for (job, step) in steps.enumerate() {
            let job = job as u32;
            match step {
                Step::Pass(passed) => now += ms(passed),
                Step::Submit { stream, target, class, priority, deadline_ms } => {
                    let deadline = deadline_ms.map(|after| now + ms(after));
                    let (stream, target) = (stream.to_string(), target.to_string());
                    let request = Request { stream, target, class, priority, deadline, job };
                    let questions = queue.questions();
                    match queue.submit(request.clone(), now) {
                        Ok(older) => {
                            let (mut since, mut before, mut passed) = (now, waiting.len(), 0);
                            if let Some(older) = older {
                                leave(older);
                                let older = waiting.remove(&older).expect("it waited");
                                prop_assert_eq!(older.request.class, Class::Frame);
                                prop_assert_eq!(class, Class::Frame);
                                (since, before, passed) = (older.since, older.before, older.passed);
                            }
                            waiting.insert(job, Waiting { request, since, before, passed });
                        }
                        Err(full) => {
                            leave(full.job);
                            prop_assert!(class == Class::Question && questions == MOST_QUESTIONS);
                        }
                    }
                    let frames: Vec<_> = waiting.values().filter(|w| w.request.class == Class::Frame)
                        .map(|w| (&w.request.stream, &w.request.target)).collect();
                    prop_assert_eq!(frames.iter().collect::<BTreeSet<_>>().len(), frames.len());
                }
                Step::Poll => {
                    for job in queue.expired(now) {
                        leave(job);
                        let gone = waiting.remove(&job).expect("it waited");
                        prop_assert!(gone.request.deadline.expect("it has a deadline") < now);
                    }
                    prop_assert!(waiting.values().all(|w| w.request.deadline.is_none_or(|at| at >= now)));
                    match queue.next(now) {
                        Next::Run(batch) => {
                            let target: usize = batch[0].target.parse().unwrap();
                            prop_assert!(batch.len() <= LARGEST[target]);
                            prop_assert!(batch.iter().all(|request| request.target == batch[0].target));
                            for request in batch {
                                leave(request.job);
                                let ran = waiting.remove(&request.job).expect("it waited");
                                prop_assert_eq!(&ran.request, &request);
                                prop_assert!(ran.passed <= MOST_PASSED_OVER as usize + ran.before,
                                    "passed over {} times, {} were before it", ran.passed, ran.before);
                            }
                            waiting.values_mut().for_each(|waiting| waiting.passed += 1);
                        }
                        Next::WaitUntil(until) => {
                            prop_assert!(until > now);
                            let may_wait = |w: &Waiting| w.request.class == Class::Frame && now < w.since + WAIT;
                            prop_assert!(waiting.values().all(may_wait), "somebody waits for no reason");
                        }
                        Next::Idle => prop_assert!(waiting.is_empty()),
                    }
                }
            }
            prop_assert_eq!(queue.len(), waiting.len());
        }
        prop_assert!(waiting.is_empty(), "{} never ran", waiting.len());
    }
}
