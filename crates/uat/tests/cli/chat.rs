use std::process::Stdio;
use std::time::Duration;

use testkit::{Answer, Behaviour, FakeProvider};

use crate::support::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_is_printed_without_a_server() {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Answer(Answer::text("The sky is blue.")));
    let place = Place::at(&provider);
    let ran = place.run(&["chat", "why", "--system", "be brief", "--temperature", "0", "--max-tokens", "9"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "The sky is blue.\n", ""));
    let asked = provider.requests()[0].json();
    assert_eq!(asked["messages"][0], serde_json::json!({ "role": "system", "content": "be brief" }));
    assert_eq!(asked["messages"][1]["content"], "why");
    assert_eq!((asked["temperature"].as_f64(), asked["max_tokens"].as_u64()), (Some(0.0), Some(9)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_question_may_come_from_standard_input() {
    let provider = FakeProvider::start().await.unwrap();
    let place = Place::at(&provider);
    for args in [&["chat"][..], &["chat", "-"][..]] {
        assert_eq!(place.run_with_input(args, "from a pipe\n").code, 0);
        assert_eq!(provider.requests().last().unwrap().json()["messages"][0]["content"], "from a pipe");
    }
    place.run_with_input(&["chat"], " \n").assert_failed(2, &["standard input"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn json_holds_the_answer_and_how_it_was_routed() {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Answer(Answer::text("Four.")));
    let document = Place::at(&provider).run(&["chat", "2+2", "--json"]).json();
    assert_eq!(document["choices"][0]["message"]["content"], "Four.");
    assert_eq!(document["routing"]["endpoint"], "fake");
    assert_eq!(document["routing"]["attempts"][0]["outcome"], "ok");
}

#[test]
fn a_missing_model_is_told_with_its_command() {
    Place::empty()
        .run(&["chat", "hello"])
        .assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]: ", "try: uat models pull smollm2-135m"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_the_request_may_not_say_is_refused_by_name() {
    let provider = FakeProvider::start().await.unwrap();
    let place = Place::at(&provider);
    place
        .run(&["chat", "x", "--temperature", "9"])
        .assert_failed(1, &["error[UAT_INVALID_INPUT]: temperature"]);
    place.run(&["chat", "x", "--temperature", "NaN"]).assert_failed(1, &["temperature"]);
    place
        .run(&["chat", "x", "-m", "mm"])
        .assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]", "did you mean `m`?"]);
    place.run(&["chat", "x", "--temprature", "1"]).assert_failed(2, &["--temperature"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_failing_endpoint_is_an_error_and_not_an_empty_answer() {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::status(500));
    Place::at(&provider).run(&["chat", "x"]).assert_failed(1, &["error[UAT_UPSTREAM]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ctrl_c_ends_the_answer_and_its_upstream() {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Hang);
    let place = Place::at(&provider);
    let mut child = place.command(&["chat", "x"]).stdout(Stdio::null()).spawn().unwrap();
    provider.wait_for_requests(1).await.unwrap();
    assert!(
        std::process::Command::new("kill")
            .args(["-s", "INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    provider.wait_for_disconnect(Duration::from_secs(5)).await.expect("the upstream is closed");
}
