use crate::support::Place;

#[test]
fn a_wrong_file_is_refused_with_line_and_column() {
    let place = Place::empty();
    place.write("uat.toml", "[server]\nbnd = \"127.0.0.1:1\"\n");
    place.run(&["config", "validate"]).assert_failed(
        1,
        &["error[UAT_CONFIG]: uat.toml:2:1: unknown key `bnd` in [server]", "did you mean `bind`?"],
    );
    let ran = place.run(&["config", "validate", "--json"]);
    let error = ran.json()["error"].clone();
    assert_eq!((ran.code, error["line"].as_u64(), error["column"].as_u64()), (1, Some(2), Some(1)));
    assert_eq!(error["path"], "server.bnd");
    for command in [&["serve"][..], &["chat", "x"][..], &["config", "show"][..]] {
        place.run(command).assert_failed(1, &["uat.toml:2:1"]);
    }
}

#[test]
fn a_right_file_is_said_to_be_right() {
    let place = Place::empty();
    place.write("other.toml", "[server]\nhold_ms = 7\n");
    let ran = place.run(&["config", "validate", "--config", "other.toml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "other.toml is valid: 0 endpoint(s), 0 model(s)\n"));
    assert_eq!(place.run(&["config", "validate"]).code, 0);
    place
        .run(&["config", "validate", "--config", "nowhere.toml"])
        .assert_failed(1, &["nowhere.toml: cannot be read"]);
}

#[test]
fn what_counts_is_shown_with_where_it_comes_from() {
    let place = Place::empty();
    place.write("uat.toml", "[server]\nhold_ms = 7\n");
    let shown = |args: &[&str]| {
        let output = place.command(args).env("UAT__ENGINE__IDLE_EXIT_S", "9").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = shown(&["config", "show"]);
    for (setting, source) in [
        ("server.hold_ms = 7", "# uat.toml:2:11"),
        ("engine.idle_exit_s = 9", "# environment variable UAT__ENGINE__IDLE_EXIT_S"),
        ("server.max_body_mb = 32", "# default"),
    ] {
        let line = text.lines().find(|line| line.starts_with(setting));
        assert!(line.is_some_and(|line| line.ends_with(source)), "{setting} in\n{text}");
    }
    let document: serde_json::Value = serde_json::from_str(&shown(&["config", "show", "--json"])).unwrap();
    assert_eq!(
        (&document["file"], &document["config"]["server"]["hold_ms"]),
        (&"uat.toml".into(), &7.into())
    );
}
