//! Whether a cheap model's answer is good enough to be given, or a stronger model has to be asked.
//!
//! Three measures, each a pure function over what was answered: [`Shape::fits`] (it is the JSON that was asked for),
//! [`agreement`] (several answers say the same in the end), [`lowest_margin`] (how sure the model was where it was least sure). [`Check`]
//! is which of them is asked for, with its numbers.
//!
//! ```
//! use answer_check::{Check, agreement};
//!
//! let check = Check::read("self-consistency", Some(3.0), None)?;
//! assert_eq!(check, Check::SelfConsistency { k: 3, threshold: 0.6 });
//! let agreed = agreement(&[Some("It is 42."), Some("7 * 6 = 42"), Some("43")]).unwrap();
//! assert_eq!((agreed.index, agreed.answers), (0, 2));
//! # Ok::<(), answer_check::BadCheck>(())
//! ```
//!
//! # What it deliberately does not know
//! Models, prices, dialects, who asks whom and what becomes of an answer that fails.

mod agreement;
mod check;
mod margin;
mod shape;

pub use agreement::{Agreement, agreement};
pub use check::{BadCheck, Check};
pub use margin::{TokenChoice, lowest_margin};
pub use shape::{Shape, Unfit};
