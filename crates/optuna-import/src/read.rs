//! The rows of a study.

use std::collections::HashMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::{Connection, Row, params};

use crate::distribution::Distribution;
use crate::error::ImportError;
use crate::python;
use crate::study::{Direction, Setting, State, Study, Trial};

/// What the key of a sampler's constraints is, and with a colon and a name that of each that a trial sets itself (Optuna 5).
const CONSTRAINTS: &str = "constraints";

/// The trials of a study, found by Optuna's id.
struct Trials {
    trials: Vec<Trial>,
    places: HashMap<i64, usize>,
}

pub(crate) fn study(connection: &Connection, id: i64, name: &str) -> Result<Study, ImportError> {
    let mut trials = Trials::of(connection, id)?;
    parameters(connection, id, &mut trials)?;
    values(connection, id, &mut trials)?;
    intermediate(connection, id, &mut trials)?;
    constraints(connection, id, &mut trials)?;
    let mut trials = trials.trials;
    trials.sort_by_key(|trial| trial.number);
    Ok(Study { name: name.to_owned(), directions: directions(connection, id)?, trials })
}

/// Calls for each row of a statement about a study.
fn each(
    connection: &Connection,
    statement: &str,
    id: i64,
    mut of: impl FnMut(&Row<'_>) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let mut statement = connection.prepare(statement)?;
    let mut rows = statement.query(params![id])?;
    while let Some(row) = rows.next()? {
        of(row)?;
    }
    Ok(())
}

fn directions(connection: &Connection, id: i64) -> Result<Vec<Direction>, ImportError> {
    let mut directions = Vec::new();
    let statement = "SELECT direction FROM study_directions WHERE study_id = ?1 ORDER BY objective";
    each(connection, statement, id, |row| {
        directions.push(match &*row.get::<_, String>(0)? {
            "MINIMIZE" => Direction::Minimize,
            "MAXIMIZE" => Direction::Maximize,
            other => return Err(ImportError::damaged(format!("a study's direction is `{other}`"))),
        });
        Ok(())
    })?;
    Ok(directions)
}

impl Trials {
    fn of(connection: &Connection, id: i64) -> Result<Self, ImportError> {
        let mut found = Self { trials: Vec::new(), places: HashMap::new() };
        let statement = "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials WHERE study_id = ?1 ORDER BY trial_id";
        each(connection, statement, id, |row| {
            let number: i64 = row.get(1)?;
            let number = u64::try_from(number)
                .map_err(|_| ImportError::damaged(format!("a trial's number is {number}")))?;
            let state = match &*row.get::<_, String>(2)? {
                "RUNNING" => State::Running,
                "WAITING" => State::Waiting,
                "COMPLETE" => State::Complete,
                "PRUNED" => State::Pruned,
                "FAIL" => State::Failed,
                other => return Err(ImportError::damaged(format!("trial {number} has the state `{other}`"))),
            };
            let time = |place| -> Result<Option<i64>, ImportError> {
                let text: Option<String> = row.get(place)?;
                text.map(|text| {
                    ms(&text)
                        .ok_or_else(|| ImportError::damaged(format!("trial {number} has the time `{text}`")))
                })
                .transpose()
            };
            found.places.insert(row.get(0)?, found.trials.len());
            found.trials.push(Trial {
                number,
                state,
                parameters: Vec::new(),
                values: Vec::new(),
                intermediate: Vec::new(),
                constraints: Vec::new(),
                started_at_ms: time(3)?,
                ended_at_ms: time(4)?,
            });
            Ok(())
        })?;
        Ok(found)
    }

    /// The trial of a row that begins with its id.
    fn of_row(&mut self, row: &Row<'_>) -> Result<&mut Trial, ImportError> {
        let id: i64 = row.get(0)?;
        let place = self.places.get(&id).copied();
        place
            .and_then(|place| self.trials.get_mut(place))
            .ok_or_else(|| ImportError::damaged(format!("no trial has the id {id}")))
    }
}

/// A statement about rows of a table that belong to a study's trials.
fn of_trials(columns: &str, table: &str, order: &str) -> String {
    format!(
        "SELECT t.trial_id, {columns} FROM {table} AS r JOIN trials AS t USING (trial_id) WHERE t.study_id = ?1 ORDER BY {order}"
    )
}

fn parameters(connection: &Connection, id: i64, trials: &mut Trials) -> Result<(), ImportError> {
    // There are as many texts as distributions, and a row for each trial.
    let mut known: HashMap<String, Distribution> = HashMap::new();
    let statement =
        of_trials("r.param_name, r.param_value, r.distribution_json", "trial_params", "r.param_id");
    each(connection, &statement, id, |row| {
        let trial = trials.of_row(row)?;
        let (name, number, text): (String, f64, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let fail =
            |what: &str| ImportError::damaged(format!("trial {}, parameter `{name}`: {what}", trial.number));
        let distribution = match known.get(&text) {
            Some(known) => known.clone(),
            None => {
                let distribution = Distribution::parse(&text)
                    .ok_or_else(|| fail(&format!("unknown distribution {text}")))?;
                known.insert(text, distribution.clone());
                distribution
            }
        };
        let value =
            distribution.value(number).ok_or_else(|| fail(&format!("{number} is none of its values")))?;
        trial.parameters.push(Setting { name, value, distribution });
        Ok(())
    })
}

/// A number beside its type: what is infinite or NaN has no number.
fn typed(row: &Row<'_>, number: usize, kind: usize) -> Result<f64, ImportError> {
    let kind: String = row.get(kind)?;
    match &*kind {
        "FINITE" => Ok(row.get(number)?),
        "INF_POS" => Ok(f64::INFINITY),
        "INF_NEG" => Ok(f64::NEG_INFINITY),
        "NAN" => Ok(f64::NAN),
        _ => Err(ImportError::damaged(format!("a value has the type `{kind}`"))),
    }
}

fn values(connection: &Connection, id: i64, trials: &mut Trials) -> Result<(), ImportError> {
    let statement = of_trials("r.value, r.value_type", "trial_values", "r.objective");
    each(connection, &statement, id, |row| {
        let value = typed(row, 1, 2)?;
        trials.of_row(row)?.values.push(value);
        Ok(())
    })
}

fn intermediate(connection: &Connection, id: i64, trials: &mut Trials) -> Result<(), ImportError> {
    let columns = "r.step, r.intermediate_value, r.intermediate_value_type";
    let statement = of_trials(columns, "trial_intermediate_values", "r.step");
    each(connection, &statement, id, |row| {
        let report = (row.get(1)?, typed(row, 2, 3)?);
        trials.of_row(row)?.intermediate.push(report);
        Ok(())
    })
}

fn constraints(connection: &Connection, id: i64, trials: &mut Trials) -> Result<(), ImportError> {
    let order = "r.trial_system_attribute_id";
    let statement = of_trials("r.key, r.value_json", "trial_system_attributes", order);
    each(connection, &statement, id, |row| {
        let key: String = row.get(1)?;
        let named = match key.strip_prefix(CONSTRAINTS) {
            Some("") => None,
            Some(rest) => match rest.strip_prefix(':') {
                Some(name) => Some(name.to_owned()),
                None => return Ok(()),
            },
            None => return Ok(()),
        };
        let text: String = row.get(2)?;
        let trial = trials.of_row(row)?;
        let json = python::parse(&text);
        let found = json.and_then(|json| match (named, json) {
            (Some(name), value) => Some(vec![(name, python::number(&value)?)]),
            // A sampler whose function failed has written none.
            (None, serde_json::Value::Null) => Some(Vec::new()),
            (None, serde_json::Value::Array(values)) => {
                let numbered = values.iter().enumerate();
                numbered.map(|(place, value)| Some((place.to_string(), python::number(value)?))).collect()
            }
            _ => None,
        });
        let number = trial.number;
        let found = found
            .ok_or_else(|| ImportError::damaged(format!("trial {number} has the constraints {text}")))?;
        trial.constraints.extend(found);
        Ok(())
    })
}

/// The ms since 1970 of a date and time of day, as if it were in UTC.
fn ms(text: &str) -> Option<i64> {
    let time: DateTime = text.parse().ok()?;
    Some(TimeZone::UTC.to_timestamp(time).ok()?.as_millisecond())
}
