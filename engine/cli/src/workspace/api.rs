//! `api:` in `dripline.yaml`: where `dripline serve` answers, and whom.

use std::{env, net::SocketAddr};

use dripline_server::{SHORTEST_TOKEN, Token};
use schemars::JsonSchema;
use serde::Deserialize;

use super::settings::FILE;
use crate::problem::Problem;

/// Where `dripline serve` answers, and whom.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiSettings {
    /// Address and port; by default this machine alone, `127.0.0.1:8080`.
    #[serde(default = "default_listen")]
    #[schemars(extend("format" = "socket-address"))]
    listen: String,
    /// The programs that may ask.
    #[schemars(length(min = 1))]
    tokens: Vec<TokenSettings>,
}

/// A program that may ask.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenSettings {
    /// What the reasons of what it did call it.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// Name of the environment variable that holds its token.
    token_env: String,
}

fn default_listen() -> String {
    "127.0.0.1:8080".into()
}

/// An address with a port.
pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let wrong =
        || format!("`{text}` is no address with a port; write for example 127.0.0.1:8080 or [::1]:8080");
    text.parse().map_err(|_| wrong())
}

impl ApiSettings {
    /// Where to listen.
    pub(crate) fn address(&self) -> Result<SocketAddr, Problem> {
        parse_listen(&self.listen).map_err(Problem::input)
    }

    /// Who may ask; the tokens come from the environment.
    pub(crate) fn tokens(&self) -> Result<Vec<Token>, Problem> {
        self.tokens.iter().map(TokenSettings::token).collect()
    }
}

impl TokenSettings {
    fn token(&self) -> Result<Token, Problem> {
        let Self { name, token_env } = self;
        let what = |wrong: &str| {
            format!(
                "the environment variable {token_env}, which {FILE} names for the token of `{name}`, {wrong}"
            )
        };
        let help =
            format!("set it where dripline is started: export {token_env}=\"$(openssl rand -hex 32)\"");
        let token = env::var(token_env).map_err(|_| Problem::input(what("is not set")).with_help(&help))?;
        let wrong = || {
            what(&format!("has to be at least {SHORTEST_TOKEN} letters, digits and signs, without spaces"))
        };
        Token::new(name, &token).ok_or_else(|| Problem::input(wrong()).with_help(&help))
    }
}
