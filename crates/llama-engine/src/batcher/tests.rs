use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::sampler::Sampling;

/// A toy model whose next token depends on everything that its row has seen, so that any mix-up between rows, any lost or
/// repeated token, changes the answer. It insists on the rules that llama.cpp has.
struct Toy {
    /// Token and cell.
    rows: Vec<Vec<(Token, u64)>>,
    cells: usize,
    next_cell: u64,
    scores: Vec<Vec<f32>>,
    can_share: bool,
    /// Fails each time that a count of batches is a multiple of these.
    fails: Vec<(usize, DecodeFailure)>,
    batches: usize,
    computed: usize,
    /// A client that leaves while the next batch is computed.
    leaves: Option<Receiver<Event>>,
}

/// Ends an answer.
const END: Token = 99;

fn next_token(seen: &[Token]) -> Token {
    let hash = seen.iter().fold(7u64, |hash, token| hash.wrapping_mul(31).wrapping_add(*token as u64 + 1));
    let token = (hash >> 3) % 40;
    if token == 39 { END } else { token as Token }
}

impl Toy {
    fn new(rows: usize, cells: usize) -> Self {
        Self {
            rows: vec![Vec::new(); rows],
            cells,
            next_cell: 0,
            scores: Vec::new(),
            can_share: true,
            fails: Vec::new(),
            batches: 0,
            computed: 0,
            leaves: None,
        }
    }
}

impl Decoder for Toy {
    fn decode(&mut self, batch: &[Input], abandoned: &dyn Fn() -> bool) -> Result<(), DecodeFailure> {
        assert!(!batch.is_empty());
        self.batches += 1;
        assert!(!abandoned(), "who left before has been dropped");
        drop(self.leaves.take());
        if abandoned() {
            return Err(DecodeFailure::Abandoned);
        }
        let is_lone = batch.iter().all(|input| input.row == batch[0].row);
        let fails = self.fails.iter().find(|(every, failure)| {
            self.batches.is_multiple_of(*every) && !(is_lone && *failure == DecodeFailure::NoRoom)
        });
        let fails = fails.map(|(_, failure)| failure.clone());
        self.scores.clear();
        for (index, input) in batch.iter().enumerate() {
            // A failure leaves half of the batch behind.
            if let Some(failure) = fails.as_ref().filter(|_| index >= batch.len() / 2) {
                return Err(failure.clone());
            }
            let row = &mut self.rows[input.row];
            assert_eq!(input.position, row.len(), "positions are consecutive");
            row.push((input.token, self.next_cell));
            self.next_cell += 1;
            self.computed += 1;
            let mut scores = Vec::new();
            if input.sample {
                let seen: Vec<Token> = row.iter().map(|(token, _)| *token).collect();
                scores = vec![0.0; 100];
                scores[next_token(&seen) as usize] = 1.0;
            }
            self.scores.push(scores);
        }
        let mut cells: Vec<u64> = self.rows.iter().flatten().map(|(_, cell)| *cell).collect();
        cells.sort_unstable();
        cells.dedup();
        assert!(cells.len() <= self.cells, "the batcher keeps to the cells");
        Ok(())
    }

    fn scores(&self, index: usize) -> &[f32] {
        assert!(!self.scores[index].is_empty(), "only after inputs that asked for it");
        &self.scores[index]
    }

    fn can_share(&self) -> bool {
        self.can_share
    }

    fn truncate(&mut self, row: usize, length: usize) {
        assert!(self.can_share || length == 0);
        self.rows[row].truncate(length);
    }

    fn share(&mut self, from: usize, to: usize, length: usize) {
        assert!(self.can_share && self.rows[to].is_empty());
        self.rows[to] = self.rows[from][..length].to_vec();
    }

    fn append_piece(&self, token: Token, bytes: &mut Vec<u8>) {
        bytes.extend(format!("{token},").bytes());
    }

    fn ends_answer(&self, token: Token) -> bool {
        token == END
    }
}

fn batcher_of(toy: Toy, lanes: usize) -> Batcher<Toy> {
    let sizes = Sizes { lanes, rows: toy.rows.len(), batch: 16, cells: toy.cells };
    // A step takes no time, so that nothing is measured and the sizes stay.
    let now = Instant::now();
    Batcher::new(toy, sizes, Arc::new(Stats::default()), move || now)
}

fn batcher(lanes: usize, cells: usize) -> Batcher<Toy> {
    batcher_of(Toy::new(lanes + 2, cells), lanes)
}

fn job(prompt: &[Token], max_tokens: usize) -> (Job, Receiver<Event>) {
    let (output, receiver) = Output::channel().expect("a fresh channel has room");
    let job = Job {
        prompt: prompt.to_vec(),
        max_tokens: Some(max_tokens),
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        grammar: None,
        shown: Vec::new(),
        stops: Vec::new(),
        deadline: None,
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
            Event::Piece(more) => {
                assert!(!more.text.is_empty());
                text.push_str(&more.text);
            }
            Event::Done { rest, reason, .. } => {
                text.push_str(&rest.text);
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

/// How many of a prompt's tokens were not computed, and the answer, of a request that runs to its end.
fn cached(batcher: &mut Batcher<Toy>, prompt: &[Token], max_tokens: usize) -> (usize, String) {
    let (job, mut receiver) = job(prompt, max_tokens);
    batcher.add(job);
    run_to_end(batcher);
    let mut text = String::new();
    loop {
        match receiver.try_recv().expect("an end") {
            Event::Piece(piece) => text.push_str(&piece.text),
            Event::Done { rest, cached_tokens, .. } => return (cached_tokens, text + &rest.text),
            Event::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_an_earlier_request_has_read_is_not_read_again() {
    let mut batcher = batcher(2, 200);
    let prompt: Vec<Token> = (0..30).collect();
    assert_eq!(cached(&mut batcher, &prompt, 5), (0, alone(&prompt, 5).0));
    // The same again: all but the last token, after which the answer is sampled.
    assert_eq!(cached(&mut batcher, &prompt, 5), (29, alone(&prompt, 5).0));
    // Another end.
    let mut other = prompt.clone();
    other[20] = 7;
    assert_eq!(cached(&mut batcher, &other, 5), (20, alone(&other, 5).0));
    // And the first is still there.
    assert_eq!(cached(&mut batcher, &prompt, 5).0, 29);
}

#[test]
fn what_nobody_comes_back_to_is_forgotten() {
    let start = Instant::now();
    let now = Arc::new(Mutex::new(start));
    let sizes = Sizes { lanes: 2, rows: 4, batch: 16, cells: 200 };
    let clock = Arc::clone(&now);
    let mut batcher =
        Batcher::new(Toy::new(4, 200), sizes, Arc::new(Stats::default()), move || *clock.lock());
    let prompt: Vec<Token> = (0..30).collect();
    cached(&mut batcher, &prompt, 5);
    *now.lock() = start + KEEP / 2;
    assert_eq!(cached(&mut batcher, &prompt, 5).0, 29);
    *now.lock() = start + KEEP * 2;
    cached(&mut batcher, &[38], 1);
    assert_eq!(cached(&mut batcher, &prompt, 5).0, 0);
}

#[test]
fn idle_rows_leave_half_of_the_cells_free_but_the_last_one_stays() {
    let mut batcher = batcher(1, 100);
    let prompts: Vec<Vec<Token>> = (0..3).map(|first| (first..38).cycle().take(40).collect()).collect();
    for prompt in &prompts {
        cached(&mut batcher, prompt, 1);
    }
    batcher.step();
    assert_eq!(batcher.cells.idle(), 40);
    assert_eq!(cached(&mut batcher, &prompts[2], 1).0, 39);
}

#[test]
fn a_conversation_that_goes_on_is_read_from_where_it_stopped() {
    let mut batcher = batcher(1, 200);
    let mut conversation: Vec<Token> = (0..20).collect();
    let (_, answer) = cached(&mut batcher, &conversation, 10);
    conversation.extend(answer.split_terminator(',').map(|token| token.parse::<Token>().expect("a number")));
    let read = conversation.len() - 1;
    conversation.extend([1, 2, 3]);
    let (cached, _) = cached(&mut batcher, &conversation, 10);
    // The last token of the answer was sampled but never read; an answer that ended by itself was read to its end.
    assert!(cached == read || cached == read + 1, "{cached} of {read}");
}

#[test]
fn two_that_begin_alike_and_come_together_are_read_once() {
    let mut batcher = batcher(4, 400);
    let prompts: Vec<Vec<Token>> =
        (0..4).map(|last| (0..38).cycle().take(60).chain([last]).collect()).collect();
    let clients: Vec<_> = prompts
        .iter()
        .map(|prompt| job(prompt, 3))
        .map(|(job, receiver)| {
            batcher.add(job);
            receiver
        })
        .collect();
    run_to_end(&mut batcher);
    for (prompt, mut receiver) in prompts.iter().zip(clients) {
        let mut text = String::new();
        read(&mut receiver, &mut text).expect("ended").expect("well");
        assert_eq!(text, alone(prompt, 3).0);
    }
    // Each reads a last piece that is too small to wait for, and its answer.
    assert!(batcher.decoder.computed < 61 + 3 * (WORTH_WAITING + 1) + 4 * 3, "{}", batcher.decoder.computed);
}

#[test]
fn a_model_that_cannot_share_reads_everything_anew() {
    let mut batcher = batcher_of(Toy { can_share: false, ..Toy::new(3, 100) }, 2);
    let prompt: Vec<Token> = (0..30).collect();
    assert_eq!(cached(&mut batcher, &prompt, 5), (0, alone(&prompt, 5).0));
    assert_eq!(cached(&mut batcher, &prompt, 5), (0, alone(&prompt, 5).0));
}

#[test]
fn a_long_batch_is_stopped_when_its_client_leaves_and_a_short_one_is_not() {
    for (prompt, computed) in [(WORTH_STOPPING, 0), (WORTH_STOPPING - 1, WORTH_STOPPING - 1)] {
        let sizes = Sizes { lanes: 1, rows: 2, batch: 64, cells: 100 };
        let now = Instant::now();
        let mut batcher = Batcher::new(Toy::new(2, 100), sizes, Arc::new(Stats::default()), move || now);
        let (job, receiver) = job(&vec![1; prompt], 5);
        batcher.add(job);
        batcher.decoder.leaves = Some(receiver);
        assert_eq!(batcher.step(), Progress::Busy);
        assert_eq!(batcher.decoder.computed, computed);
        assert_eq!(batcher.step(), Progress::Idle);
        assert_eq!(batcher.stats.cancelled.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn a_request_ends_when_its_time_is_over() {
    let start = Instant::now();
    let now = Arc::new(Mutex::new(start));
    let toy = Toy::new(3, 100);
    let sizes = Sizes { lanes: 1, rows: 3, batch: 16, cells: 100 };
    let clock = Arc::clone(&now);
    let mut batcher = Batcher::new(toy, sizes, Arc::new(Stats::default()), move || *clock.lock());
    let deadline = Some(start + Duration::from_secs(1));
    let prompt = (0..40).find(|token| alone(&[*token], 60).1 == FinishReason::Length).expect("a long answer");
    let (first, mut runs) = job(&[prompt], 60);
    let (second, mut waits) = job(&[prompt], 60);
    batcher.add(Job { deadline, ..first });
    batcher.add(Job { deadline, ..second });
    batcher.step();
    *now.lock() = start + Duration::from_secs(2);
    batcher.step();
    for (receiver, queued) in [(&mut runs, false), (&mut waits, true)] {
        let error = read(receiver, &mut String::new()).expect("ended").expect_err("late");
        assert!(matches!(error, EngineError::DeadlineExceeded { queued: was } if was == queued), "{error}");
    }
    assert_eq!(batcher.stats.late.load(Ordering::Relaxed), 2);
}

/// Allows even tokens only.
#[derive(Debug)]
struct Even(Vec<u32>);

impl Grammar for Even {
    fn allowed(&mut self) -> Result<Option<&[u32]>, EngineError> {
        Ok(Some(&self.0))
    }

    fn accept(&mut self, token: Token) -> Result<(), EngineError> {
        assert_eq!(token % 2, 0);
        Ok(())
    }
}

#[test]
fn an_answer_keeps_to_its_grammar() {
    let mut batcher = batcher(1, 100);
    let (free, mut receiver) = job(&[1, 2, 3], 20);
    batcher.add(Job { grammar: Some(Box::new(Even(vec![0x5555_5555; 4]))), ..free });
    run_to_end(&mut batcher);
    let mut text = String::new();
    read(&mut receiver, &mut text).expect("ended").expect("well");
    assert!(
        text.split_terminator(',').all(|token| token.parse::<u32>().expect("a number") % 2 == 0),
        "{text}"
    );
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
        // Many begin alike.
        3 => (0i32..3, 0usize..25, prop::collection::vec(0..38i32, 1..10), 1usize..120)
            .prop_map(|(start, length, end, max_tokens)| {
                let prompt = (start..38).cycle().take(length).chain(end).collect();
                Happens::Comes { prompt, max_tokens }
            }),
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
    fn every_answer_is_what_it_would_have_been_alone(
        happenings in happenings(),
        lanes in 1usize..5,
        spare in 1usize..4,
        cells in 40usize..200,
        can_share: bool,
        no_room in 40usize..120,
    ) {
        let fails = vec![(no_room, DecodeFailure::NoRoom)];
        let toy = Toy { can_share, fails, ..Toy::new(lanes + spare, cells) };
        let mut batcher = batcher_of(toy, lanes);
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
