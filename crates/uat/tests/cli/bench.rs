use crate::support::Place;

#[test]
fn a_missing_model_is_told_with_its_command() {
    Place::empty()
        .run(&["bench", "engine"])
        .assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]: ", "try: uat models pull smollm2-135m"]);
}

#[test]
fn the_engine_is_measured_and_nobody_else() {
    let place = Place::empty();
    place.write("uat.toml", "[engine]\nenabled = false\n");
    place.run(&["bench", "engine"]).assert_failed(1, &["error[UAT_ENGINE_UNAVAILABLE]", "engine.enabled"]);
}

#[test]
fn what_cannot_be_measured_is_a_wrong_command_line() {
    let place = Place::empty();
    place.run(&["bench"]).assert_failed(2, &["engine"]);
    place.run(&["bench", "engine", "--tokens", "1"]).assert_failed(2, &["--tokens"]);
    place.run(&["bench", "engine", "--parallel", "0"]).assert_failed(2, &["--parallel"]);
}
