#![no_main]
//! Lines of a study's journal, with right checksums, so that their content is read: reading and replaying end, and what is accepted can be
//! asked, told and read again.

use libfuzzer_sys::fuzz_target;
use parameter_analytics_service::journal;
use parameter_analytics_service::study::{Event, Outcome, Study};

fuzz_target!(|content: &[u8]| {
    let _ = journal::read::<Event>(content);
    let lines = content.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Event>(line).ok());
    let Ok(mut study) = Study::replay(lines) else { return };
    let known = study.trials().len() as u64;
    // A Gaussian process of thousands would be slow, not wrong.
    if known < 64
        && study.space().dimensions() < 16
        && let Ok(asked) = study.ask(1, u64::MAX)
    {
        assert_eq!(asked, [known]);
        let _ = study.tell(known, Outcome::Values(vec![1.0], vec![]), u64::MAX);
    }
    let mut bytes = Vec::new();
    for event in study.take_events() {
        journal::append(&mut bytes, &event).unwrap();
    }
    assert!(journal::read::<Event>(&bytes).is_ok_and(|contents| !contents.torn));
});
