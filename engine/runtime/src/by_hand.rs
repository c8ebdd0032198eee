//! Enrolment because somebody wants it: a person, or another program.

use dripline_model::{
    Digest,
    contact::EventView,
    id::{ContactId, WorkflowId},
    program::Trigger,
};
use dripline_store::{Answered, Store, Transaction};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    entrance::{Answer, Candidate, Entrance},
    error::{Error, Result, While, despite},
};

/// Why a person's enrolment happened, for people.
pub(crate) const BY_HAND: &str = "by hand";

/// What the rules see as the name of the event where somebody gives a payload.
const MANUAL: &str = "manual";

/// Why nobody can be enrolled in a workflow by hand.
#[derive(Debug, Error)]
pub enum NoEntrance {
    /// There is no such workflow.
    #[error("no workflow `{name}` is published")]
    Unpublished {
        /// As it was asked for.
        name: String,
        /// One that is called nearly so.
        near: Option<String>,
    },
    /// It starts otherwise.
    #[error("the workflow `{0}` has no `manual` trigger")]
    NotManual(String),
    /// The store failed, or this program cannot understand the rules.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl NoEntrance {
    /// What would help.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unpublished { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::Unpublished { near: None, .. } => {
                Some("`dripline publish` publishes the files in workflows/".to_owned())
            }
            Self::NotManual(_) => {
                Some("add `manual` to its `on:`, for example: on: [manual, {event: signed_up}]".to_owned())
            }
            Self::Failed(_) => None,
        }
    }
}

/// What another program asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// The program, as the operator named it.
    pub program: &'r str,
    /// Whom to enrol, none twice.
    pub contacts: &'r [ContactId],
    /// What the rules see as the properties of an event `manual`.
    pub payload: Option<&'r Map<String, Value>>,
    /// By what the program knows the request; the same again within [a day](dripline_store::REMEMBERED) does nothing and is
    /// answered as before.
    pub key: Option<&'r str>,
}

/// What is answered to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// What became of each of the contacts that are there, in their order.
    Done(Vec<Outcome>),
    /// Nothing was done: the program used the key for another request.
    KeyTaken,
}

/// What became of a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Who.
    pub contact: ContactId,
    /// Why not; `None` for who was enrolled.
    pub refusal: Option<String>,
}

impl Entrance {
    /// The entrance of the published workflow with this name, if it has a `manual` trigger. `zone` is where the days of
    /// `again: {after: …}` are counted.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn by_hand(
        store: &dyn Store,
        name: &str,
        zone: &TimeZone,
    ) -> std::result::Result<Self, NoEntrance> {
        let programs = store.current_programs().await.while_doing("read the workflows")?;
        let names = programs.iter().map(|stored| stored.program.name.as_str());
        let near = dripline_model::suggest::closest(name, names).map(str::to_owned);
        let Some(stored) = programs.into_iter().find(|stored| stored.program.name == name) else {
            return Err(NoEntrance::Unpublished { name: name.to_owned(), near });
        };
        if !stored.program.triggers.contains(&Trigger::Manual) {
            return Err(NoEntrance::NotManual(name.to_owned()));
        }
        Ok(Self::new(&stored.program, stored.workflow, stored.version, zone)?)
    }

    /// The workflow.
    pub fn workflow(&self) -> WorkflowId {
        self.workflow
    }

    /// Lets those of the contacts (none twice) enter that the rules admit, and records why the others were not. The
    /// answers come in the order of `contacts`; one who is gone has none. The rules see `payload` as the properties of an
    /// event `manual`.
    ///
    /// # Errors
    /// When the store fails; nobody has entered then.
    pub async fn enroll_by_hand(
        &self,
        store: &dyn Store,
        contacts: &[ContactId],
        payload: Option<&Map<String, Value>>,
        now: Timestamp,
    ) -> Result<Vec<Answer>> {
        despite!(self.try_by_hand(store, contacts, payload, now).await)
    }

    async fn try_by_hand(
        &self,
        store: &dyn Store,
        contacts: &[ContactId],
        payload: Option<&Map<String, Value>>,
        now: Timestamp,
    ) -> Result<Vec<Answer>> {
        let mut tx = store.begin().await.while_doing("begin an enrolment")?;
        let answers = self.offer(tx.as_mut(), contacts, payload, BY_HAND, now).await?;
        tx.commit().await.while_doing("commit an enrolment")?;
        Ok(answers)
    }

    /// The same for another program, whose request counts once if it has a key.
    ///
    /// # Errors
    /// When the store fails; nobody has entered then.
    pub async fn enroll_on_request(
        &self,
        store: &dyn Store,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Reply> {
        despite!(self.try_on_request(store, request, now).await)
    }

    async fn try_on_request(
        &self,
        store: &dyn Store,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Reply> {
        let Request { program, contacts, payload, key } = *request;
        // Each program has keys of its own.
        let key = key.map(|key| format!("{program}/{key}"));
        let asked = serde_json::json!([self.workflow, contacts, payload]).to_string();
        let digest = Digest::of(asked.as_bytes());
        let mut tx = store.begin().await.while_doing("begin an enrolment")?;
        if let Some(key) = &key
            && let Some(before) = tx.answered(key, now).await.while_doing("look for an earlier request")?
        {
            // Only this program writes answers; one that cannot be read is of another kind of request.
            let outcomes = serde_json::from_str(&before.answer).ok().filter(|_| before.digest == digest);
            return Ok(outcomes.map_or(Reply::KeyTaken, Reply::Done));
        }
        let because = format!("by the program `{program}`");
        let answers = self.offer(tx.as_mut(), contacts, payload, &because, now).await?;
        let outcomes: Vec<Outcome> = answers
            .into_iter()
            .map(|answer| Outcome { contact: answer.contact.id, refusal: answer.refusal })
            .collect();
        if let Some(key) = &key {
            let answer = serde_json::json!(outcomes).to_string();
            tx.answer(key, &Answered { digest, answer }, now).await.while_doing("record a request")?;
        }
        tx.commit().await.while_doing("commit an enrolment")?;
        Ok(Reply::Done(outcomes))
    }

    async fn offer(
        &self,
        tx: &mut dyn Transaction,
        contacts: &[ContactId],
        payload: Option<&Map<String, Value>>,
        because: &str,
        now: Timestamp,
    ) -> Result<Vec<Answer>> {
        let event = payload.map(|payload| EventView {
            name: MANUAL.to_owned(),
            at: now,
            properties: payload.clone(),
        });
        let because = payload.map_or_else(
            || because.to_owned(),
            |payload| format!("{because}, with {}", Value::from(payload.clone())),
        );
        tx.lock_contacts(contacts).await.while_doing("lock contacts")?;
        let candidates = contacts
            .iter()
            .map(|contact| Candidate { view: event.as_ref(), ..Candidate::plain(*contact, &because) });
        self.admit(tx, candidates.collect(), true, now).await
    }
}
