use proptest::prelude::*;

use super::*;

/// A toy model whose next token depends on everything that its lane has seen, so that any mix-up between lanes, any lost
/// or repeated token, changes the answer. It insists on the rules that llama.cpp has.
struct Toy {
    seen: Vec<Vec<Token>>,
    cells: usize,
    samples: Vec<Token>,
}

/// Ends an answer.
const END: Token = 99;

fn next_token(seen: &[Token]) -> Token {
    let hash = seen.iter().fold(7u64, |hash, token| hash.wrapping_mul(31).wrapping_add(*token as u64 + 1));
    let token = (hash >> 3) % 40;
    if token == 39 { END } else { token as Token }
}

impl Toy {
    fn new(lanes: usize, cells: usize) -> Self {
        Self { seen: vec![Vec::new(); lanes], cells, samples: Vec::new() }
    }
}

impl Decoder for Toy {
    type Sampler = ();

    fn sampler(&self, _: &Sampling) {}

    fn decode(&mut self, batch: &[Input]) -> Result<(), DecodeFailure> {
        assert!(!batch.is_empty());
        self.samples.clear();
        for input in batch {
            assert_eq!(input.position, self.seen[input.lane].len(), "positions are consecutive");
            self.seen[input.lane].push(input.token);
            self.samples.push(if input.sample { next_token(&self.seen[input.lane]) } else { -1 });
        }
        assert!(
            self.seen.iter().map(Vec::len).sum::<usize>() <= self.cells,
            "the batcher keeps to the cells"
        );
        Ok(())
    }

    fn sample(&mut self, (): &mut (), index: usize) -> Token {
        assert!(self.samples[index] >= 0, "only after inputs that asked for it");
        self.samples[index]
    }

    fn forget(&mut self, lane: usize) {
        self.seen[lane].clear();
    }

    fn append_piece(&self, token: Token, bytes: &mut Vec<u8>) {
        bytes.extend(format!("{token},").bytes());
    }

    fn ends_answer(&self, token: Token) -> bool {
        token == END
    }
}

const SAMPLING: Sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 };

fn batcher(lanes: usize, cells: usize) -> Batcher<Toy> {
    let limits = Limits { batch: 16, prompt_beside_generation: 4, cells };
    Batcher::new(Toy::new(lanes, cells), lanes, limits, Arc::new(Stats::default()))
}

fn job(prompt: &[Token], max_tokens: usize) -> (Job, Receiver<Event>) {
    let (output, receiver) = Output::channel().expect("a fresh channel has room");
    let job = Job {
        prompt: prompt.to_vec(),
        max_tokens: Some(max_tokens),
        sampling: SAMPLING,
        stops: Vec::new(),
        output,
        place: None,
    };
    (job, receiver)
}

/// The whole answer of a request that runs alone.
fn alone(prompt: &[Token], max_tokens: usize) -> (String, FinishReason) {
    let mut seen = prompt.to_vec();
    let mut text = String::new();
    for _ in 0..max_tokens {
        let token = next_token(&seen);
        if token == END {
            return (text, FinishReason::Stop);
        }
        seen.push(token);
        text.push_str(&format!("{token},"));
    }
    (text, FinishReason::Length)
}

/// Takes what lies in the channel; returns how the answer ended, if it has.
fn read(receiver: &mut Receiver<Event>, text: &mut String) -> Option<Result<FinishReason, EngineError>> {
    while let Ok(event) = receiver.try_recv() {
        match event {
            Event::Text(more) => {
                assert!(!more.is_empty());
                text.push_str(&more);
            }
            Event::Done { text: rest, reason, .. } => {
                text.push_str(&rest);
                return Some(Ok(reason));
            }
            Event::Failed(error) => return Some(Err(error)),
        }
    }
    None
}

fn run_to_end(batcher: &mut Batcher<Toy>) {
    for _ in 0..10_000 {
        if batcher.step() != Progress::Busy {
            return;
        }
    }
    panic!("the batcher does not come to rest");
}

#[test]
fn a_lone_request_gets_the_models_answer() {
    let mut batcher = batcher(2, 100);
    let (job, mut receiver) = job(&[1, 2, 3], 20);
    batcher.add(job);
    run_to_end(&mut batcher);
    let mut text = String::new();
    let reason = read(&mut receiver, &mut text).expect("ended").expect("well");
    assert_eq!((text, reason), alone(&[1, 2, 3], 20));
}

#[test]
fn a_client_that_leaves_frees_its_lane_before_the_next_token() {
    let mut batcher = batcher(1, 100);
    let (first, receiver) = job(&[1], 50);
    batcher.add(first);
    batcher.step();
    assert_eq!(batcher.stats.active.load(Ordering::Relaxed), 1);
    drop(receiver);
    let generated = batcher.stats.generated_tokens.load(Ordering::Relaxed);
    assert_eq!(batcher.step(), Progress::Idle);
    assert_eq!(batcher.stats.active.load(Ordering::Relaxed), 0);
    assert_eq!(batcher.stats.generated_tokens.load(Ordering::Relaxed), generated);
    assert_eq!(batcher.stats.cancelled.load(Ordering::Relaxed), 1);
}

#[test]
fn a_client_that_leaves_the_queue_is_forgotten() {
    let mut batcher = batcher(1, 100);
    let (first, _kept) = job(&[4], 50);
    let (second, left) = job(&[5], 50);
    batcher.add(first);
    batcher.add(second);
    batcher.step();
    drop(left);
    batcher.step();
    assert_eq!(batcher.stats.queued.load(Ordering::Relaxed), 0);
}

#[test]
fn a_slow_reader_pauses_and_gives_its_lane_to_one_who_reads() {
    let mut batcher = batcher(1, 2000);
    let prompt =
        (0..40).find(|token| alone(&[*token], 200).0.matches(',').count() > 100).expect("a long answer");
    let (slow, mut slow_receiver) = job(&[prompt], 200);
    batcher.add(slow);
    run_to_end(&mut batcher);
    assert_eq!(batcher.step(), Progress::Paused, "the channel is full, nothing more is generated");

    let (quick, mut quick_receiver) = job(&[1, 2, 3], 20);
    batcher.add(quick);
    run_to_end(&mut batcher);
    let mut text = String::new();
    read(&mut quick_receiver, &mut text).expect("ended").expect("well");
    assert_eq!(text, alone(&[1, 2, 3], 20).0);

    let mut text = String::new();
    while read(&mut slow_receiver, &mut text).is_none() {
        batcher.step();
    }
    assert_eq!(text, alone(&[prompt], 200).0, "the pause changed nothing in its answer");
}

#[test]
fn when_cells_run_out_requests_give_way_and_their_answers_stay_the_same() {
    let mut batcher = batcher(4, 60);
    let long = |prompt: &Token| alone(&[*prompt], 50).1 == FinishReason::Length;
    let prompts: Vec<Token> = (0..40).filter(long).take(4).collect();
    assert_eq!(prompts.len(), 4);
    let mut clients: Vec<_> = prompts
        .iter()
        .map(|prompt| {
            let (job, receiver) = job(&[*prompt], 50);
            batcher.add(job);
            (receiver, String::new())
        })
        .collect();
    run_to_end(&mut batcher);
    assert!(batcher.stats.preemptions.load(Ordering::Relaxed) > 0);
    for (prompt, (receiver, text)) in prompts.iter().zip(&mut clients) {
        read(receiver, text).expect("ended").expect("well");
        assert_eq!(*text, alone(&[*prompt], 50).0);
    }
}

#[test]
fn an_answer_ends_with_the_context() {
    let mut batcher = batcher(1, 10);
    let prompt =
        (0..40).find(|token| alone(&[*token; 4], 20).1 == FinishReason::Length).expect("a long answer");
    let (job, mut receiver) = job(&[prompt; 4], 1000);
    batcher.add(job);
    run_to_end(&mut batcher);
    let mut text = String::new();
    assert_eq!(read(&mut receiver, &mut text).expect("ended").expect("well"), FinishReason::Length);
    assert_eq!(text, alone(&[prompt; 4], 6).0, "four tokens of prompt and six of answer fill ten cells");
}

#[test]
fn a_prompt_that_fills_the_context_is_refused_with_both_counts() {
    let mut batcher = batcher(1, 10);
    let (job, mut receiver) = job(&[1; 10], 5);
    batcher.add(job);
    let error = read(&mut receiver, &mut String::new()).expect("ended").expect_err("is refused");
    assert!(matches!(error, EngineError::ContextLengthExceeded { prompt: 10, context: 10 }));
}

#[test]
fn a_stop_string_ends_the_answer_before_itself() {
    let prompt = (0..40).find(|token| alone(&[*token], 30).1 == FinishReason::Length).expect("a long answer");
    let (full, _) = alone(&[prompt], 30);
    // From the middle of one token to the middle of the next.
    let (comma, _) = full.match_indices(',').nth(10).expect("thirty tokens");
    let stop = &full[comma - 1..comma + 2];
    let mut batcher = batcher(1, 100);
    let (mut job, mut receiver) = job(&[prompt], 30);
    job.stops = vec![stop.to_owned()];
    batcher.add(job);
    run_to_end(&mut batcher);
    let mut text = String::new();
    assert_eq!(read(&mut receiver, &mut text).expect("ended").expect("well"), FinishReason::Stop);
    assert_eq!(text, full[..full.find(stop).expect("it occurs")]);
}

/// One thing that happens between two steps.
#[derive(Debug, Clone)]
enum Happens {
    Comes { prompt: Vec<Token>, max_tokens: usize },
    Leaves(usize),
    Reads(usize),
    Steps(usize),
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        3 => (prop::collection::vec(0..38i32, 1..30), 1usize..120)
            .prop_map(|(prompt, max_tokens)| Happens::Comes { prompt, max_tokens }),
        1 => (0usize..20).prop_map(Happens::Leaves),
        3 => (0usize..20).prop_map(Happens::Reads),
        4 => (1usize..40).prop_map(Happens::Steps),
    ];
    prop::collection::vec(one, 1..60)
}

/// Someone who asked, and what reached them.
struct Client {
    prompt: Vec<Token>,
    max_tokens: usize,
    /// `None` once they have left.
    receiver: Option<Receiver<Event>>,
    text: String,
    ended: bool,
}

impl Client {
    fn read(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            self.ended |= read(receiver, &mut self.text).is_some();
        }
    }
}

proptest! {
    #[test]
    fn every_answer_is_what_it_would_have_been_alone(happenings in happenings(), lanes in 1usize..5, cells in 40usize..200) {
        let mut batcher = batcher(lanes, cells);
        let mut clients: Vec<Client> = Vec::new();
        for happening in happenings {
            match happening {
                Happens::Comes { prompt, max_tokens } => {
                    let (job, receiver) = job(&prompt, max_tokens);
                    batcher.add(job);
                    clients.push(Client { prompt, max_tokens, receiver: Some(receiver), text: String::new(), ended: false });
                }
                Happens::Leaves(who) => clients.iter_mut().skip(who).take(1).for_each(|client| client.receiver = None),
                Happens::Reads(who) => clients.iter_mut().skip(who).take(1).for_each(Client::read),
                Happens::Steps(steps) => (0..steps).for_each(|_| { batcher.step(); }),
            }
        }
        for _ in 0..10_000 {
            let progress = batcher.step();
            clients.iter_mut().for_each(Client::read);
            if progress == Progress::Idle {
                break;
            }
        }
        for client in clients.iter().filter(|client| client.receiver.is_some()) {
            prop_assert!(client.ended, "everyone who stays gets an end");
            let max_tokens = client.max_tokens.min(cells - client.prompt.len());
            prop_assert_eq!(&client.text, &alone(&client.prompt, max_tokens).0);
        }
        prop_assert_eq!(batcher.stats.active.load(Ordering::Relaxed), 0);
        prop_assert_eq!(batcher.stats.queued.load(Ordering::Relaxed), 0);
    }
}
