//! Campaigns on a driven clock: what would happen over the next weeks, and whether a campaign does what its test says.
//!
//! It is the engine itself that runs (`dripline-runtime`), over a store that goes when the simulation ends, with mails that
//! are rendered and not sent. [`Stage`] sets it up, [`Stage::play`] drives it and lets contacts react as a
//! [`Behaviour`](dripline_workflow::behaviour::Behaviour) says, [`Report::of`] sums up what happened, and [`case::run`]
//! holds a test of a campaign against it. [`backtest`] holds scores against what became of people.
//!
//! Whatever is left to chance follows from the seed, the contact's own key and the mail: never from the order in which
//! contacts were imported or taken, nor from the size of batches.

pub mod backtest;
pub mod case;
mod chance;
mod error;
mod funnel;
mod html;
mod play;
mod pressure;
mod reactions;
mod report;
mod stage;
mod story;

pub use error::{Error, ErrorKind, Result};
pub use funnel::{End, Funnel, Reason, Step};
pub use html::page;
pub use play::{Enrolment, Mail, Plan, Played, Progress};
pub use pressure::{OverLimit, Pressure};
pub use reactions::GivenEvent;
pub use report::{Circumstances, Day, MailSum, Report, Representative, Totals};
pub use stage::Stage;
pub use story::{Story, StoryLine, story};
