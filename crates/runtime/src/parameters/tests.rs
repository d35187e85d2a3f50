use parameter_analytics_service::storage::{Kind, Log, LogName, Storage, StorageError};
use testkit::redis::{RedisCluster, RedisServer};

use std::time::Duration;

use super::*;

fn logs(url: &str) -> RedisLogs {
    let options = Options { url: Some(url.to_owned()), key_prefix: "app:".to_owned(), ..Options::default() };
    RedisLogs::new(&options, tokio::runtime::Handle::current())
}

fn log(logs: &RedisLogs, name: &str) -> Box<dyn Log> {
    logs.log(&LogName::new(Kind::Study, name).unwrap()).unwrap()
}

fn seen(log: &mut dyn Log) -> (bool, String) {
    let (tail, _) = log.turn().unwrap();
    (tail.is_whole, String::from_utf8(tail.bytes).unwrap())
}

fn append(log: &mut dyn Log, lines: &str) -> Result<(), StorageError> {
    log.turn()?.1.append(lines.as_bytes())
}

/// What a log promises, whichever Redis has it.
fn keeps_its_promises(logs: &RedisLogs) {
    let (mut mine, mut other) = (log(logs, "a} b"), log(logs, "a} b"));
    assert_eq!(seen(&mut *mine), (true, String::new()));
    append(&mut *mine, "1\n").unwrap();
    append(&mut *mine, "2\n").unwrap();
    assert_eq!(seen(&mut *other), (true, "1\n2\n".to_owned()));
    append(&mut *other, "3\n").unwrap();
    assert_eq!(seen(&mut *mine), (false, "3\n".to_owned()));
    // Who was overtaken has written nothing, and is given what came first.
    {
        let (_, mut turn) = mine.turn().unwrap();
        append(&mut *other, "4\n").unwrap();
        assert!(matches!(turn.append(b"lost\n"), Err(StorageError::Overtaken)));
        assert!(matches!(turn.replace(b"lost\n"), Err(StorageError::Overtaken)));
    }
    assert_eq!(seen(&mut *mine), (false, "4\n".to_owned()));
    mine.turn().unwrap().1.replace(b"1234\n").unwrap();
    assert_eq!(seen(&mut *other), (true, "1234\n".to_owned()));
    append(&mut *other, "5\n").unwrap();
    assert_eq!(seen(&mut *mine).1.lines().last(), Some("5"));
    assert_eq!(logs.names(Kind::Study).unwrap(), ["a} b".into()]);
    assert_eq!(logs.names(Kind::Bandit).unwrap(), []);
    mine.turn().unwrap().1.remove().unwrap();
    assert_eq!(seen(&mut *other), (true, String::new()));
    assert_eq!(logs.names(Kind::Study).unwrap(), []);
}

async fn on_a_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(act).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_in_redis_are_appended_to_by_one_writer_at_a_time() {
    let server = RedisServer::start().unwrap();
    let own = logs(&server.url());
    let used = own.clone();
    on_a_thread(move || keeps_its_promises(&used)).await;
    own.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_in_a_cluster_have_both_of_their_keys_in_one_slot() {
    let cluster = RedisCluster::start().unwrap();
    let own = logs(&cluster.url());
    let used = own.clone();
    on_a_thread(move || keeps_its_promises(&used)).await;
    own.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_lose_nothing() {
    let server = RedisServer::start().unwrap();
    let all = logs(&server.url());
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let logs = all.clone();
            tokio::task::spawn_blocking(move || {
                let mut log = log(&logs, "s");
                for line in 0..25 {
                    while let Err(error) = append(&mut *log, &format!("{writer} {line}\n")) {
                        assert!(matches!(error, StorageError::Overtaken), "{error}");
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let read = all.clone();
    let (_, lines) = on_a_thread(move || seen(&mut *log(&read, "s"))).await;
    for writer in 0..4 {
        let own = lines.lines().filter_map(|line| line.strip_prefix(&format!("{writer} ")));
        assert!(own.eq((0..25).map(|line| line.to_string())), "{lines}");
    }
    all.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_nothing_is_acknowledged_and_later_nothing_is_missing() {
    use parameter_analytics_service::space::{Domain, Parameter, Space};
    use parameter_analytics_service::study::{Outcome, StudyOptions};
    let server = RedisServer::start().unwrap();
    let redis = Options { url: Some(server.url()), ..Options::default() };
    let parameters = Parameters::open(ParametersPlace::Redis(Box::new(redis))).unwrap();
    let space = Space::new(vec![Parameter::new("x", Domain::float(0.0, 1.0))]).unwrap();
    let options = StudyOptions::new("s", space);
    let made = options.clone();
    let study = parameters.run(move |analytics| Ok(analytics.create_study(&made)?.0)).await.unwrap();
    let asked = Arc::clone(&study);
    let trial = parameters.run(move |_| asked.change(|study| study.ask(1, 1))).await.unwrap()[0];
    server.freeze().unwrap();
    let told = Arc::clone(&study);
    let tell = move || told.change(|study| study.tell(trial, Outcome::Values(vec![0.5], vec![]), 2));
    let refused = parameters
        .run({
            let tell = tell.clone();
            move |_| tell()
        })
        .await
        .unwrap_err();
    assert_eq!((refused.code(), refused.retryable()), ("UAT_STORAGE", true));
    server.thaw().unwrap();
    // What was sent before the answer was lost may have arrived: then it counts, once.
    let told = async {
        loop {
            let tell = tell.clone();
            match parameters.run(move |_| tell()).await {
                // Until it is connected again.
                Err(error) if error.retryable() => tokio::task::yield_now().await,
                Err(error) => return assert_eq!(error.code(), "UAT_CONFLICT"),
                Ok(()) => return,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    let best = study.now().unwrap().best().map(|trial| trial.values.clone());
    assert_eq!(best, Some(vec![0.5]));
    parameters.close().await.unwrap();
}
