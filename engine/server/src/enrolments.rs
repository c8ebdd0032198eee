//! `POST /v1/workflows/{workflow}/enrolments`

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{
        Path, State,
        rejection::{JsonRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode},
};
use dripline_model::id::ContactId;
use dripline_runtime::{Entrance, NoEntrance, Outcome, Reply, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Api, LARGEST, access::Program, problem::Problem};

/// As many as one transaction takes without anybody waiting for it.
const MOST_CONTACTS: usize = 250;

/// The header by which a request that comes twice counts once (draft-ietf-httpapi-idempotency-key-header).
const KEY: &str = "idempotency-key";

const LONGEST_KEY: usize = 255;

/// How many unknown contacts are named.
const NAMED: usize = 10;

/// Whom to enrol.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enrol {
    /// Ids, external ids or addresses.
    contacts: Vec<String>,
    /// What the rules see as `event.properties`.
    payload: Option<Map<String, Value>>,
}

/// What became of it.
#[derive(Debug, Serialize)]
pub(crate) struct Enrolled {
    workflow: String,
    /// How many were enrolled.
    enrolled: usize,
    contacts: Vec<Enrolment>,
}

/// What became of a contact.
#[derive(Debug, Serialize)]
struct Enrolment {
    /// As the request named it.
    contact: String,
    id: ContactId,
    enrolled: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Extension(Program(program)): Extension<Program>,
    workflow: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Json<Enrol>, JsonRejection>,
) -> Result<Json<Enrolled>, Problem> {
    let Path(workflow) =
        workflow.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let key = key(&headers)?;
    let Json(Enrol { contacts, payload }) = body.map_err(|rejection| unreadable(&rejection))?;
    let entrance = Entrance::by_hand(api.store.as_ref(), &workflow, &api.zone).await.map_err(no_entrance)?;
    let named = find(&api, contacts).await?;
    let mut ids: Vec<ContactId> = Vec::with_capacity(named.len());
    for (_, id) in &named {
        if !ids.contains(id) {
            ids.push(*id);
        }
    }
    let request = Request { program: &program, contacts: &ids, payload: payload.as_ref(), key };
    let reply = entrance.enroll_on_request(api.store.as_ref(), &request, api.clock.now()).await;
    match reply.map_err(|error| Problem::of_engine(&error))? {
        Reply::Done(outcomes) => Ok(Json(enrolled(workflow, named, outcomes))),
        Reply::KeyTaken => Err(Problem::unprocessable(
            "this Idempotency-Key belongs to another request of the last 24 hours; nothing was done",
        )
        .with_help("give each request a key of its own, and repeat one as it was")),
    }
}

/// Why a body says nothing.
fn unreadable(rejection: &JsonRejection) -> Problem {
    let status = rejection.status();
    let said = rejection.body_text();
    let detail = match (status, rejection) {
        (StatusCode::PAYLOAD_TOO_LARGE, _) => format!("the body is larger than {LARGEST} bytes"),
        (_, JsonRejection::MissingJsonContentType(_)) => "the body is not `application/json`".to_owned(),
        // Behind what the library says of itself stands what is wrong, and where.
        (_, JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_)) => {
            said.split_once(": ").map_or(said.as_str(), |(_, what)| what).to_owned()
        }
        _ => said,
    };
    let problem = Problem::new(status, detail);
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => problem
            .with_help("write for example {\"contacts\": [\"c-17\"], \"payload\": {\"plan\": \"pro\"}}"),
        _ => problem,
    }
}

/// The contacts by what the request calls them, or who of them is not there.
async fn find(api: &Api, contacts: Vec<String>) -> Result<Vec<(String, ContactId)>, Problem> {
    if contacts.is_empty() || contacts.len() > MOST_CONTACTS {
        return Err(Problem::unprocessable(format!(
            "`contacts` names {}; it can be 1 to {MOST_CONTACTS}",
            contacts.len()
        )));
    }
    let (mut found, mut unknown) = (Vec::with_capacity(contacts.len()), Vec::new());
    for name in contacts {
        match api.store.find_contact(&name).await.map_err(|error| Problem::of_store(&error))? {
            Some(id) => found.push((name, id)),
            None => unknown.push(name),
        }
    }
    if unknown.is_empty() {
        return Ok(found);
    }
    let named: Vec<String> = unknown.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let more = match unknown.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Problem::unprocessable(format!(
        "there is no contact {}{more}; nobody was enrolled",
        named.join(", ")
    ))
    .with_help("name contacts by id, external id or address, and import those that are new before"))
}

/// The request's key, if it has one.
fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get(KEY) else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    let wrong = || format!("an Idempotency-Key has 1 to {LONGEST_KEY} characters, all of them ASCII");
    key.map(Some).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, wrong()))
}

fn no_entrance(error: NoEntrance) -> Problem {
    let help = error.help();
    let problem = match &error {
        NoEntrance::Unpublished { .. } => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
        NoEntrance::NotManual(_) => Problem::new(StatusCode::CONFLICT, error.to_string()),
        NoEntrance::Failed(failure) => Problem::of_engine(failure),
    };
    match help {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}

fn enrolled(workflow: String, named: Vec<(String, ContactId)>, outcomes: Vec<Outcome>) -> Enrolled {
    let enrolled = outcomes.iter().filter(|outcome| outcome.refusal.is_none()).count();
    let outcomes: BTreeMap<ContactId, Option<String>> =
        outcomes.into_iter().map(|outcome| (outcome.contact, outcome.refusal)).collect();
    let contacts = named
        .into_iter()
        .map(|(contact, id)| {
            // Who is gone since it was found has no outcome.
            let refusal = outcomes.get(&id).cloned().unwrap_or_else(|| Some("is gone".to_owned()));
            Enrolment { contact, id, enrolled: refusal.is_none(), reason: refusal }
        })
        .collect();
    Enrolled { workflow, enrolled, contacts }
}
