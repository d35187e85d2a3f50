use std::fs;

use super::*;

fn name(name: &str) -> LogName {
    LogName { kind: Kind::Study, name: name.into() }
}

/// What a user of the log sees now, without writing.
fn seen(log: &mut dyn Log) -> (bool, String) {
    let (tail, _) = log.turn().unwrap();
    (tail.is_whole, String::from_utf8(tail.bytes).unwrap())
}

fn append(log: &mut dyn Log, lines: &str) {
    let (_, mut turn) = log.turn().unwrap();
    turn.append(lines.as_bytes()).unwrap();
}

/// Both kinds of storage, each empty.
fn storages() -> (tempfile::TempDir, [Box<dyn Storage>; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path().join("not/there/yet"));
    (folder, [Box::new(files), Box::new(Memory::default())])
}

#[test]
fn each_user_of_a_log_is_given_what_others_appended_and_nothing_twice() {
    let (_folder, storages) = storages();
    for storage in storages {
        let (mut mine, mut other) = (storage.log(&name("s")).unwrap(), storage.log(&name("s")).unwrap());
        assert_eq!(seen(&mut *mine), (true, String::new()));
        append(&mut *mine, "1\n");
        append(&mut *mine, "2\n");
        assert_eq!(seen(&mut *mine), (false, String::new()));
        assert_eq!(seen(&mut *other), (true, "1\n2\n".to_owned()));
        append(&mut *other, "3\n");
        assert_eq!(seen(&mut *mine), (false, "3\n".to_owned()));
        assert_eq!(seen(&mut *mine), (false, String::new()));
    }
}

#[test]
fn a_log_that_was_replaced_is_given_whole() {
    let (_folder, storages) = storages();
    for storage in storages {
        let (mut mine, mut other) = (storage.log(&name("s")).unwrap(), storage.log(&name("s")).unwrap());
        append(&mut *mine, "1\n2\n3\n");
        seen(&mut *other);
        mine.turn().unwrap().1.replace(b"123\n").unwrap();
        append(&mut *mine, "4\n");
        assert_eq!(seen(&mut *other), (true, "123\n4\n".to_owned()));
        append(&mut *other, "5\n");
        assert_eq!(seen(&mut *mine), (false, "5\n".to_owned()));
    }
}

#[test]
fn a_log_that_was_removed_can_be_begun_again() {
    let (_folder, storages) = storages();
    for storage in storages {
        let (mut mine, mut other) = (storage.log(&name("s")).unwrap(), storage.log(&name("s")).unwrap());
        append(&mut *mine, "1\n");
        seen(&mut *other);
        mine.turn().unwrap().1.remove().unwrap();
        assert_eq!(storage.names(Kind::Study).unwrap(), []);
        append(&mut *mine, "new\n");
        assert_eq!(seen(&mut *other), (true, "new\n".to_owned()));
    }
}

#[test]
fn names_come_back_as_they_were_given() {
    let (folder, storages) = storages();
    let odd = ["a", "a/../b", "Ü ber", "line\nbreak", ".", "100%", "x.journal"];
    for storage in storages {
        for name in odd {
            append(&mut *storage.log(&LogName { kind: Kind::Bandit, name: name.into() }).unwrap(), "1\n");
        }
        storage.log(&name("only looked for")).unwrap().turn().unwrap();
        let mut expected: Vec<Arc<str>> = odd.iter().map(|name| (*name).into()).collect();
        expected.sort();
        assert_eq!(storage.names(Kind::Bandit).unwrap(), expected);
        assert_eq!(storage.names(Kind::Study).unwrap(), []);
    }
    let written = fs::read_dir(folder.path().join("not/there/yet/bandits")).unwrap().count();
    assert_eq!(written, odd.len(), "each is a file of its own in the one folder");
    for wrong in [String::new(), "n".repeat(201)] {
        assert_eq!(LogName::new(Kind::Study, &wrong).unwrap_err().code(), "UAT_INVALID_INPUT");
    }
    let error = Files::new(folder.path()).log(&name(&"ü".repeat(100))).unwrap_err();
    assert_eq!(error.code(), "UAT_INVALID_INPUT");
}

#[test]
fn what_a_crash_left_of_a_line_is_not_seen_and_is_cut_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path());
    let mut log = files.log(&name("s")).unwrap();
    append(&mut *log, "1\n");
    let path = files.path(&name("s")).unwrap();
    fs::write(&path, "1\n2 was to").unwrap();
    assert_eq!(seen(&mut *log), (false, String::new()));
    append(&mut *log, "3\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n3\n");
}

#[test]
fn many_writers_at_once_lose_nothing_and_write_nothing_into_one_another() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let files = Files::new(folder.path());
            scope.spawn(move || {
                let mut log = files.log(&name("s")).unwrap();
                for line in 0..25 {
                    // The first line is created by one of them alone.
                    while let Err(error) =
                        log.turn().unwrap().1.append(format!("{writer} {line}\n").as_bytes())
                    {
                        assert!(matches!(error, StorageError::Overtaken), "{error}");
                    }
                }
            });
        }
    });
    let (_, all) = seen(&mut *Files::new(folder.path()).log(&name("s")).unwrap());
    for writer in 0..4 {
        let own: Vec<&str> =
            all.lines().filter_map(|line| line.strip_prefix(&format!("{writer} "))).collect();
        let expected: Vec<String> = (0..25).map(|line| line.to_string()).collect();
        assert_eq!(own, expected);
    }
}

#[test]
fn a_journal_that_the_typescript_backend_has_is_refused_by_its_process_number() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path());
    let mut log = files.log(&name("s")).unwrap();
    append(&mut *log, "1\n");
    let beside = files.path(&name("s")).unwrap().with_extension("journal.lock");
    fs::write(&beside, std::process::id().to_string()).unwrap();
    let error = log.turn().map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "UAT_CONFLICT");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    // One that is gone has nothing any more.
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    fs::write(&beside, gone.id().to_string()).unwrap();
    gone.wait().unwrap();
    assert_eq!(seen(&mut *log).1, "1\n");
}
