//! HTTP: what other programs ask of a running Dripline.
//!
//! [`Api`] is what is answered, [`serve`] answers until it is told to end. Every request but the question whether the server is
//! well carries a token (RFC 6750), and every error is a problem in JSON (RFC 9457). What a request does is one transaction.

mod access;
mod enrolments;
mod problem;

use std::{io, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use dripline_model::Clock;
use dripline_store::Store;
use jiff::tz::TimeZone;
use tokio::net::TcpListener;

pub use access::{SHORTEST_TOKEN, Token};
use problem::Problem;

/// How long a request may take. One that is cut off leaves nothing behind, or all of it.
const LONGEST: Duration = Duration::from_secs(30);

/// Bytes of a request's body, at most.
const LARGEST: usize = 1024 * 1024;

/// What is answered from, and to whom.
pub struct Api {
    /// Whose contacts and workflows.
    pub store: Arc<dyn Store>,
    /// What "now" is.
    pub clock: Arc<dyn Clock>,
    /// Where the days of `again: {after: …}` are counted.
    pub zone: TimeZone,
    /// Who may ask.
    pub tokens: Vec<Token>,
}

/// Answers on a socket until `stop` resolves, and then to the end of what was begun.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(Arc::new(api))).with_graceful_shutdown(stop).await
}

fn router(api: Arc<Api>) -> Router {
    let for_programs = Router::new()
        .route("/v1/workflows/{workflow}/enrolments", post(enrolments::create))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), access::check));
    Router::new()
        .route("/health", get(health))
        .merge(for_programs)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(middleware::from_fn(in_time))
        .with_state(api)
}

/// Whether the store answers.
async fn health(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    api.store.revision().await.map_err(|error| Problem::of_store(&error))?;
    Ok(Json(serde_json::json!({ "status": "ok" })).into_response())
}

async fn unknown(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

async fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this cannot be asked for by that method")
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::for_now(format!("it took longer than {} seconds", LONGEST.as_secs())).into_response()
        }
    }
}
