//! Chance, by seed: names, ids, times and whatever else differs from document to document.

use serde_json::{Value, json};

pub(crate) struct Vary(fastrand::Rng);

impl Vary {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.usize(..end)
    }

    pub(crate) fn between(&mut self, from: usize, to: usize) -> usize {
        self.0.usize(from..=to)
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// Letters of an alphabet.
    pub(crate) fn letters(&mut self, alphabet: &str, count: usize) -> String {
        (0..count).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len())])).collect()
    }

    pub(crate) fn hex(&mut self, count: usize) -> String {
        self.letters("0123456789abcdef", count)
    }

    pub(crate) fn base62(&mut self, count: usize) -> String {
        self.letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", count)
    }

    pub(crate) fn base64(&mut self, count: usize) -> String {
        self.letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", count)
    }

    pub(crate) fn uuid(&mut self) -> String {
        format!("{}-{}-4{}-a{}-{}", self.hex(8), self.hex(4), self.hex(3), self.hex(3), self.hex(12))
    }

    /// Seconds since 1970, within the years in which such documents are stored.
    pub(crate) fn unix(&mut self) -> u64 {
        self.0.u64(1_700_000_000..1_890_000_000)
    }

    pub(crate) fn millis(&mut self) -> u64 {
        self.unix() * 1000 + self.0.u64(..1000)
    }

    pub(crate) fn iso(&mut self) -> String {
        let (year, month, day) = (self.between(2023, 2029), self.between(1, 12), self.between(1, 28));
        let (hour, minute, second) = (self.below(24), self.below(60), self.below(60));
        let end = match self.below(4) {
            0 => "Z".to_owned(),
            1 => "+00:00".to_owned(),
            2 => format!(".{:06}Z", self.below(1_000_000)),
            _ => format!(".{:03}Z", self.below(1000)),
        };
        format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{end}")
    }

    pub(crate) fn float(&mut self, digits: usize) -> Value {
        let value = (self.0.f64() * 10_f64.powi(digits as i32)).round() / 10_f64.powi(digits as i32);
        json!(value)
    }

    pub(crate) fn signed(&mut self) -> Value {
        json!((self.0.f64() - 0.5) / 10.0)
    }

    pub(crate) fn jwt(&mut self) -> String {
        let head = self.pick(&[
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6I",
            "eyJhbGciOiJSUzI1NiIsImtpZCI6I",
        ]);
        let (body, tail) = (self.between(80, 240), 43);
        format!("{head}.eyJ{}.{}", self.base64(body), self.base64(tail))
    }

    pub(crate) fn name(&mut self) -> String {
        const FIRST: &[&str] = &[
            "Alice", "John", "Maria", "David", "Sarah", "Michael", "Anna", "James", "Emma", "Robert",
            "Laura", "Daniel", "Sofia", "Thomas", "Julia", "Peter", "Emily", "Mark", "Olivia", "Paul",
        ];
        const LAST: &[&str] = &[
            "Smith", "Johnson", "Brown", "Garcia", "Miller", "Davis", "Martin", "Wilson", "Anderson",
            "Taylor", "Thompson", "Lee", "White", "Clark", "Lewis", "Walker", "Young", "King", "Wright",
            "Scott",
        ];
        format!("{} {}", self.pick(FIRST), self.pick(LAST))
    }

    pub(crate) fn email(&mut self) -> String {
        let name = self.name().to_lowercase();
        let user = if self.chance(50) {
            name.replace(' ', ".")
        } else {
            format!("{}{}", name.split(' ').next().unwrap_or_default(), self.below(1000))
        };
        format!(
            "{user}@{}",
            self.pick(&[
                "example.com",
                "gmail.com",
                "example.org",
                "outlook.com",
                "company.com",
                "yahoo.com",
                "hotmail.com"
            ])
        )
    }

    pub(crate) fn ip(&mut self) -> String {
        match self.below(4) {
            0 => format!("192.168.{}.{}", self.below(256), self.below(256)),
            1 => "127.0.0.1".to_owned(),
            2 => format!("::ffff:10.0.{}.{}", self.below(256), self.below(256)),
            _ => format!(
                "{}.{}.{}.{}",
                self.between(1, 223),
                self.below(256),
                self.below(256),
                self.below(256)
            ),
        }
    }

    /// An object with some of the fields left out: what is optional comes `percent` of the time.
    pub(crate) fn some(&mut self, percent: usize, mut of: Value) -> Value {
        if let Value::Object(fields) = &mut of {
            fields.retain(|_, _| self.chance(percent));
        }
        of
    }
}

/// Both objects' fields, in this order.
pub(crate) fn join(mut first: Value, second: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut first, second) {
        fields.extend(more);
    }
    first
}
