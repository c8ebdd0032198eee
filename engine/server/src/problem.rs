//! Errors as RFC 9457 has them (`application/problem+json`).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, json};

/// Seconds after which a store that is away is worth another try.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// What is wrong, in a sentence.
    detail: String,
    /// What would help.
    help: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), help: None }
    }

    /// What was sent is understood, and cannot be done.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// It may be done later.
    pub(crate) fn for_now(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .with_help("ask again; with the same Idempotency-Key it counts once")
    }

    /// The store failed. What it says is for the operator's log; who asks learns whether asking again helps.
    pub(crate) fn of_store(error: &dripline_store::Error) -> Self {
        Self::of_failure(error, error.is_transient())
    }

    /// The engine failed.
    pub(crate) fn of_engine(error: &dripline_runtime::Error) -> Self {
        Self::of_failure(error, error.is_transient())
    }

    fn of_failure(error: &dyn std::error::Error, is_transient: bool) -> Self {
        tracing::error!("a request failed: {error}");
        if is_transient {
            return Self::for_now("the store cannot be reached now");
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "it failed; the server's log says why")
    }

    /// Adds what would help.
    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("title".to_owned(), json!(self.status.canonical_reason().unwrap_or_default()));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.detail));
        if let Some(help) = self.help {
            body.insert("help".to_owned(), json!(help));
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
