//! Who may ask: bearer tokens (RFC 6750).

use std::{fmt, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use dripline_model::Digest;

use crate::{Api, problem::Problem};

/// Characters of a token, at least.
pub const SHORTEST_TOKEN: usize = 16;

/// What a program shows to be let in.
#[derive(Clone)]
pub struct Token {
    name: Arc<str>,
    /// Digests are compared: how long that takes tells nothing of the token.
    digest: Digest,
}

impl Token {
    /// The token of the program that the operator calls `name`; none if it is too short to be a secret, or has characters that no
    /// header carries.
    pub fn new(name: &str, token: &str) -> Option<Self> {
        let is_good = token.len() >= SHORTEST_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic());
        is_good.then(|| Self { name: name.into(), digest: Digest::of(token.as_bytes()) })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The program that asks, by the name that the operator gave it.
#[derive(Debug, Clone)]
pub(crate) struct Program(pub(crate) Arc<str>);

/// Lets in who shows a token.
pub(crate) async fn check(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let Some(shown) = bearer(request.headers()) else {
        return refuse("there is no token", "Bearer");
    };
    let digest = Digest::of(shown.as_bytes());
    let Some(token) = api.tokens.iter().find(|token| token.digest == digest) else {
        return refuse("the token is not known", "Bearer error=\"invalid_token\"");
    };
    request.extensions_mut().insert(Program(Arc::clone(&token.name)));
    next.run(request).await
}

/// The token of a request. The scheme is not case-sensitive (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn refuse(why: &str, challenge: &'static str) -> Response {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, why)
        .with_help("send the header `Authorization: Bearer TOKEN`; `api.tokens` in dripline.yaml names them");
    let mut response = problem.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}
