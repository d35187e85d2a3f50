//! A live signal: samples and texts in, events and tasks out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audio_input::{PcmFormat, PcmIn};
use silero_vad::{Event, Segment as Stretch, Settings, SileroVad, SpeechStream, WINDOW};

use super::agreement::Agreement;
use super::turns::{Heard, Turns};
use super::{LIVE, LiveEvent, LiveOptions, samples};
use crate::kept::Kept;
use crate::placed::placed;
use crate::{Ask, Said, VoiceError, ms};

/// Silence after which a stretch is written down as if nobody said any more.
const SPECULATE: u64 = samples(150);
/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Shown while somebody speaks; may be cut short and asked for again.
    Partial,
    /// Final if nobody says any more.
    Speculative,
    /// For good.
    Final,
}

/// Something to be written down.
#[derive(Debug)]
pub struct Task {
    /// Goes back with the text.
    pub id: u64,
    /// What the text is for.
    pub kind: TaskKind,
    /// 16 kHz mono, at most 16 s.
    pub samples: Vec<f32>,
    /// How.
    pub ask: Ask,
    /// Set when nobody needs the text any more.
    pub cancel: Arc<AtomicBool>,
}

struct Running {
    id: u64,
    kind: TaskKind,
    stretch: Stretch,
    cancel: Arc<AtomicBool>,
}

/// A stretch that has ended.
struct Due {
    stretch: Stretch,
    /// How much was heard when that was known.
    known: u64,
    /// The turn has ended with it.
    is_last: bool,
}

/// A live signal. At most one of its tasks is out at a time.
pub struct Live {
    options: LiveOptions,
    input: PcmIn,
    vad: SpeechStream,
    turns: Turns,
    kept: Kept,
    /// Samples of which windows were heard.
    heard: u64,
    events: VecDeque<LiveEvent>,
    /// Stretches that have ended.
    due: VecDeque<Due>,
    running: Option<Running>,
    speculated: Option<(Stretch, Said)>,
    /// The stretch that was last given out to be written down before it had ended: once is enough.
    tried: Option<Stretch>,
    agreement: Agreement,
    /// The stretch of the agreement begins here.
    agreed_since: u64,
    /// The next partial text is due when so much was heard.
    partial_at: u64,
    next_id: u64,
    /// Where the segment before ended, in ms.
    told_until: u64,
    ended: bool,
}

impl Live {
    /// A signal that has not begun.
    ///
    /// # Errors
    /// `UAT_INVALID_INPUT` for a format or options that cannot be.
    pub fn new(vad: &SileroVad, format: PcmFormat, options: LiveOptions) -> Result<Self, VoiceError> {
        let settings =
            Settings { threshold: options.threshold, min_silence_ms: options.endpoint_silence_ms, ..LIVE };
        Ok(Self {
            input: PcmIn::new(format)?,
            vad: vad.stream(),
            turns: Turns::new(settings)?,
            options,
            kept: Kept::new(settings),
            heard: 0,
            events: VecDeque::new(),
            due: VecDeque::new(),
            running: None,
            speculated: None,
            tried: None,
            agreement: Agreement::default(),
            agreed_since: 0,
            partial_at: 0,
            next_id: 0,
            told_until: 0,
            ended: false,
        })
    }

    /// Hears 16-bit samples, channels interleaved; nothing after [`Self::end`].
    ///
    /// # Errors
    /// Those of the detector of speech.
    pub fn push_i16(&mut self, pcm: &[i16]) -> Result<(), VoiceError> {
        if !self.ended {
            self.input.push_i16(pcm, self.kept.tail());
        }
        self.hear()
    }

    /// Hears samples of full scale -1 to 1.
    ///
    /// # Errors
    /// `UAT_INVALID_INPUT` for one that is not finite: then none of `pcm` counts as given.
    pub fn push_f32(&mut self, pcm: &[f32]) -> Result<(), VoiceError> {
        if !self.ended {
            self.input.push_f32(pcm, self.kept.tail())?;
        }
        self.hear()
    }

    /// The signal has ended. Doing so twice changes nothing.
    ///
    /// # Errors
    /// Those of the detector of speech.
    pub fn end(&mut self) -> Result<(), VoiceError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.input.flush(self.kept.tail());
        let length = self.kept.end();
        // The last window is filled with silence.
        let filled = length.next_multiple_of(WINDOW as u64) - self.kept.base();
        self.kept.tail().resize(filled as usize, 0.0);
        self.hear()?;
        let heard = self.turns.finish(length);
        self.take(heard);
        Ok(())
    }

    /// What has come of the signal, in order.
    pub fn next_event(&mut self) -> Option<LiveEvent> {
        self.events.pop_front()
    }

    /// Whether something is to be written down, and whether it is for good.
    pub fn wants(&self) -> Option<TaskKind> {
        if self.running.is_some() {
            return None;
        }
        if !self.due.is_empty() {
            return Some(TaskKind::Final);
        }
        if self.ended {
            return None;
        }
        if let Some(likely) = self.turns.likely(SPECULATE) {
            return (self.tried != Some(likely)).then_some(TaskKind::Speculative);
        }
        (self.turns.since().is_some() && self.heard >= self.partial_at).then_some(TaskKind::Partial)
    }

    /// What is to be written down next. Its text, or why there is none, goes to [`Self::told`].
    pub fn next_task(&mut self) -> Option<Task> {
        let kind = self.wants()?;
        let stretch = match kind {
            TaskKind::Final => self.due.front()?.stretch,
            TaskKind::Speculative => self.turns.likely(SPECULATE)?,
            TaskKind::Partial => Stretch { start: self.turns.since()?, end: self.heard },
        };
        if kind != TaskKind::Final {
            self.partial_at = self.heard + samples(self.options.partial_every_ms.into());
        }
        if kind == TaskKind::Speculative {
            self.tried = Some(stretch);
        }
        let ask = Ask {
            language: self.options.language.clone(),
            // What is written down again in a moment is written fast.
            beam_size: if kind == TaskKind::Partial { 1 } else { self.options.beam_size },
            temperature: None,
            prompt: self.options.prompt.clone(),
            words: false,
        };
        let (id, cancel) = (self.next_id, Arc::new(AtomicBool::new(false)));
        self.next_id += 1;
        self.running = Some(Running { id, kind, stretch, cancel: Arc::clone(&cancel) });
        Some(Task { id, kind, samples: self.kept.of(stretch).to_vec(), ask, cancel })
    }

    /// What became of a task.
    pub fn told(&mut self, id: u64, text: Result<Said, VoiceError>) {
        let Some(running) = self.running.take_if(|running| running.id == id) else { return };
        let said = match text {
            Ok(said) => said,
            Err(error) => return self.failed(&running, &error),
        };
        match running.kind {
            TaskKind::Final => self.finish(running.stretch, said),
            TaskKind::Partial => self.partial(running.stretch, &said),
            TaskKind::Speculative => {
                self.partial(running.stretch, &said);
                self.speculated = Some((running.stretch, said));
                self.finish_speculated();
            }
        }
        self.forget();
    }

    /// How far texts are behind the signal: the ms of signal that came since the oldest stretch that is not written down had ended.
    pub fn behind_ms(&self) -> u64 {
        self.due.front().map_or(0, |due| ms(self.heard.saturating_sub(due.known)))
    }

    /// Whether all events of an ended signal were given.
    pub fn is_done(&self) -> bool {
        self.ended && self.due.is_empty() && self.events.is_empty()
    }

    /// Nobody wants to know any more.
    pub fn cancel(&mut self) {
        if let Some(running) = &self.running {
            running.cancel.store(true, Ordering::Relaxed);
        }
        self.ended = true;
        self.due.clear();
        self.events.clear();
        *self.kept.tail() = Vec::new();
    }

    fn hear(&mut self) -> Result<(), VoiceError> {
        while let Some(window) = self.kept.since(self.heard).first_chunk::<WINDOW>() {
            let probability = self.vad.probability(window)?;
            self.heard += WINDOW as u64;
            let heard = self.turns.push(probability);
            self.take(heard);
        }
        self.interrupt();
        self.forget();
        Ok(())
    }

    fn take(&mut self, heard: Heard) {
        if let Some(Event::SpeechStarted { at_sample }) = heard.event {
            self.events.push_back(LiveEvent::SpeechStarted { at_ms: ms(at_sample) });
            self.partial_at = self.heard;
        }
        if let Some(Event::SpeechStopped { at_sample }) = heard.event {
            self.events.push_back(LiveEvent::SpeechStopped { at_ms: ms(at_sample) });
        }
        let is_last = matches!(heard.event, Some(Event::SpeechStopped { .. }));
        match (heard.stretch, self.due.back_mut()) {
            (Some(stretch), _) => {
                self.due.push_back(Due { stretch, known: self.heard, is_last });
                self.partial_at = self.heard + samples(self.options.partial_every_ms.into());
                self.finish_speculated();
            }
            // After the last stretch there was silence alone.
            (None, Some(before)) if is_last => before.is_last = true,
            (None, None) if is_last => self.events.push_back(LiveEvent::TurnDone),
            (None, _) => {}
        }
    }

    /// What is written down meanwhile and will not be needed.
    fn interrupt(&self) {
        let Some(running) = &self.running else { return };
        let needed = match running.kind {
            TaskKind::Final => true,
            TaskKind::Partial => self.due.is_empty(),
            TaskKind::Speculative => {
                let due = self.due.front().map(|due| due.stretch);
                due.or_else(|| self.turns.likely(SPECULATE)) == Some(running.stretch)
            }
        };
        if !needed {
            running.cancel.store(true, Ordering::Relaxed);
        }
    }

    fn partial(&mut self, stretch: Stretch, said: &Said) {
        // A stretch that was cut meanwhile goes on from elsewhere.
        let due = self.due.front().map(|due| due.stretch.start);
        if due.or(self.turns.since()) != Some(stretch.start) {
            return;
        }
        if self.agreed_since != stretch.start {
            (self.agreement, self.agreed_since) = (Agreement::default(), stretch.start);
        }
        let texts: Vec<&str> = said.segments.iter().map(|segment| segment.text.trim()).collect();
        let (text, committed) = self.agreement.hear(&texts.join(" "));
        if !text.is_empty() {
            self.events.push_back(LiveEvent::Partial { start_ms: ms(stretch.start), text, committed });
        }
    }

    /// The stretch that is due may have been written down before it was.
    fn finish_speculated(&mut self) {
        let due = self.due.front().map(|due| due.stretch);
        if let Some((stretch, said)) = self.speculated.take_if(|(stretch, _)| Some(*stretch) == due) {
            self.finish(stretch, said);
        }
    }

    fn finish(&mut self, stretch: Stretch, said: Said) {
        self.speculated = None;
        if !said.segments.is_empty() {
            self.options.language.get_or_insert(said.language);
        }
        let (start, end) = (ms(stretch.start), ms(stretch.end));
        for segment in placed(said.segments, start, end, self.told_until) {
            self.told_until = segment.end_ms;
            self.events.push_back(LiveEvent::Final(segment));
        }
        self.settle();
    }

    /// The stretch that is due was written down, or cannot be.
    fn settle(&mut self) {
        if self.due.pop_front().is_some_and(|due| due.is_last) {
            self.events.push_back(LiveEvent::TurnDone);
        }
    }

    fn failed(&mut self, running: &Running, error: &VoiceError) {
        if matches!(error, VoiceError::Cancelled) {
            return;
        }
        if running.kind != TaskKind::Final {
            // The stretch is still written down for good, or it is told that it cannot be.
            self.partial_at = u64::MAX;
            return;
        }
        let (code, message) = (error.code(), error.to_string());
        self.events.push_back(LiveEvent::Failed { code, message });
        self.settle();
    }

    /// Lets go of samples that nobody can need.
    fn forget(&mut self) {
        let running = self.running.as_ref().map(|running| running.stretch.start);
        let due = self.due.front().map(|due| due.stretch.start);
        let needed = [running, due, self.turns.since()].into_iter().flatten().min();
        self.kept.forget(needed.unwrap_or(self.heard));
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("heard", &self.heard)
            .field("due", &self.due.len())
            .finish_non_exhaustive()
    }
}
