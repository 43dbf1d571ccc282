//! The doors that operate a node: join, leave, keys. They change what the cluster is, so they are
//! narrower than those of the store: see [`Operator`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use rumormill::{Keyring, SEEDS_MAX};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::command::Command;
use super::http::{Inside, Refusal, ask};
use super::joins::Reached;
use super::query;
use crate::config::Seed;
use crate::keys::{
    self, Fingerprint, KeyChange, KeyChangeError, KeyFile, KeyFileError, KeyTextError,
};
use crate::resolve::ResolveError;

/// The header that a request to operate must carry. A page in a browser cannot send it to another
/// site's address unless that site agrees, and this one never does.
pub const OPERATOR: HeaderName = HeaderName::from_static("kv-demo-operator");
/// Longest wait for the members that are joined, in milliseconds.
pub const JOIN_WAIT_MAX_MS: u64 = 60_000;
/// Longest text of keys that is read, in bytes.
const KEYS_LEN_MAX: usize = 4 << 10;

/// The ring's file, and whose turn it is to change both.
#[derive(Debug)]
pub(crate) struct KeyDoor {
    file: Arc<KeyFile>,
    turn: Mutex<()>,
}

impl KeyDoor {
    pub(crate) fn new(file: KeyFile) -> Self {
        Self { file: Arc::new(file), turn: Mutex::new(()) }
    }
}

pub(super) fn routes() -> Router<Inside> {
    Router::new()
        .route("/join", post(join))
        .route("/leave", post(leave))
        .route("/keys", get(list))
        .route("/keys/install", post(install).layer(DefaultBodyLimit::max(KEYS_LEN_MAX)))
        .route("/keys/use", post(use_key))
        .route("/keys/remove", post(remove))
}

/// Proof that a request comes from this host, and from no web page that happens to be open on it.
struct Operator;

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let judged = judge(peer, &parts.headers);
        judged.map(|()| Self).map_err(|why| Refusal(StatusCode::FORBIDDEN, why.to_owned()))
    }
}

fn judge(peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), &'static str> {
    if !peer.is_some_and(|ip| ip.to_canonical().is_loopback()) {
        return Err("a node is operated from its own host: run kv-demo there");
    }
    if !headers.contains_key(OPERATOR) || headers.contains_key(header::ORIGIN) {
        return Err("this is no door for web pages: use kv-demo join, leave or keys, \
                    or send the header `kv-demo-operator: 1`");
    }
    // A page whose own name was made to lead here would ask for that name.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_address) {
        return Err("ask for this node by its address or as localhost, not by another name");
    }
    Ok(())
}

fn is_address(host: &str) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    let bare = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// The answer to `/join`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinView {
    /// How many addresses answered.
    pub joined: usize,
    /// Each seed that was given, in order.
    pub seeds: Vec<SeedView>,
}

/// What became of one seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedView {
    /// As it was given.
    pub seed: String,
    /// Why it stands for no address.
    pub unresolved: Option<String>,
    /// Its addresses.
    pub addresses: Vec<AddressView>,
}

/// What became of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressView {
    /// The address.
    pub addr: SocketAddr,
    /// What became of it.
    #[serde(flatten)]
    pub reached: Reached,
}

/// The answer to `/keys` and to each change of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysView {
    /// The key that was changed, if one was.
    pub changed: Option<String>,
    /// Fingerprints; the first is that of the primary key.
    pub keys: Vec<String>,
}

impl KeysView {
    fn of(ring: &Keyring, changed: Option<Fingerprint>) -> Self {
        let keys = ring.keys().map(|key| Fingerprint::of(key).to_string()).collect();
        Self { changed: changed.map(|key| key.to_string()), keys }
    }
}

fn bad(reason: impl Into<String>) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, reason.into())
}

// ── Members ─────────────────────────────────────────────────────────────────────────────────────

async fn join(
    State(inside): State<Inside>,
    _: Operator,
    RawQuery(query): RawQuery,
) -> Result<Json<JoinView>, Refusal> {
    let query = query.unwrap_or_default();
    let seeds = seeds(&query)?;
    let wait_ms = query::number(&query, "wait_ms")?.clamp(1, JOIN_WAIT_MAX_MS);
    let wait = Duration::from_millis(wait_ms);
    let found = resolve(&inside, &seeds, wait).await;
    let mut addrs: Vec<SocketAddr> = found.iter().flatten().flatten().copied().collect();
    addrs.sort_unstable();
    addrs.dedup();
    if addrs.len() > SEEDS_MAX {
        let many = addrs.len();
        return Err(bad(format!("these are {many} addresses, a node joins {SEEDS_MAX} at a time")));
    }
    let reached = reach(&inside, addrs, wait).await?;
    let views = seeds.iter().zip(found).map(|(seed, found)| seed_view(seed, found, &reached));
    let joined = reached.iter().filter(|(_, reached)| *reached == Reached::Joined).count();
    Ok(Json(JoinView { joined, seeds: views.collect() }))
}

async fn reach(
    inside: &Inside,
    seeds: Vec<SocketAddr>,
    within: Duration,
) -> Result<Vec<(SocketAddr, Reached)>, Refusal> {
    if seeds.is_empty() {
        return Ok(Vec::new());
    }
    let reached = ask(&inside.handle, |reply| Command::Reach { seeds, within, reply }).await?;
    reached.ok_or_else(|| {
        let why = "the node is busy joining: try again in a moment";
        Refusal(StatusCode::SERVICE_UNAVAILABLE, why.to_owned())
    })
}

fn seeds(query: &str) -> Result<Vec<Seed>, Refusal> {
    let texts = query::fields(query, "seed")?;
    if texts.is_empty() {
        return Err(bad("say whom to join: ?seed=HOST:PORT"));
    }
    if texts.len() > SEEDS_MAX {
        return Err(bad(format!("{} seeds, at most {SEEDS_MAX} at a time", texts.len())));
    }
    texts
        .iter()
        .map(|text| {
            String::from_utf8_lossy(text).parse::<Seed>().map_err(|error| bad(error.to_string()))
        })
        .collect()
}

type Found = Result<Vec<SocketAddr>, String>;

async fn resolve(inside: &Inside, seeds: &[Seed], wait: Duration) -> Vec<Found> {
    let lookups: Vec<_> = seeds
        .iter()
        .map(|seed| {
            let (resolver, seed) = (inside.resolver.clone(), seed.clone());
            tokio::spawn(async move {
                let found = tokio::time::timeout(wait, resolver.resolve(&seed)).await;
                let silent = || "nobody told its addresses in time".to_owned();
                found.map_err(|_| silent())?.map_err(|error: ResolveError| error.to_string())
            })
        })
        .collect();
    let mut found = Vec::with_capacity(lookups.len());
    for lookup in lookups {
        found.push(lookup.await.unwrap_or_else(|error| Err(error.to_string())));
    }
    found
}

fn seed_view(seed: &Seed, found: Found, reached: &[(SocketAddr, Reached)]) -> SeedView {
    let outcome = |addr: SocketAddr| {
        let found = reached.iter().find(|(reached, _)| *reached == addr);
        let reached = found.map_or(Reached::Silent, |(_, reached)| reached.clone());
        AddressView { addr, reached }
    };
    let (unresolved, addresses) = match found {
        Ok(addrs) => (None, addrs.into_iter().map(outcome).collect()),
        Err(why) => (Some(why), Vec::new()),
    };
    SeedView { seed: seed.to_string(), unresolved, addresses }
}

/// Answers when the goodbye has been said; the process ends right after.
async fn leave(State(inside): State<Inside>, _: Operator) -> Result<&'static str, Refusal> {
    ask(&inside.handle, |reply| Command::LeaveAndTell { reply }).await?;
    Ok("the node has left the cluster\n")
}

// ── Keys ────────────────────────────────────────────────────────────────────────────────────────

async fn list(State(inside): State<Inside>, _: Operator) -> Result<Json<KeysView>, Refusal> {
    door(&inside)?;
    let ring = ask(&inside.handle, |reply| Command::Keys { reply }).await?;
    Ok(Json(KeysView::of(&ring, None)))
}

async fn install(
    State(inside): State<Inside>,
    _: Operator,
    body: Bytes,
) -> Result<Json<KeysView>, Refusal> {
    let text = core::str::from_utf8(&body).map_err(|_| bad(KeyTextError::NotBase64.to_string()))?;
    let given = keys::parse(text).map_err(|(_, error)| bad(error.to_string()))?;
    let mut keys = given.keys().cloned();
    match (keys.next(), keys.next()) {
        (Some(key), None) => change(&inside, KeyChange::Install(key)).await,
        _ => Err(bad("these are several keys: install one after the other")),
    }
}

async fn use_key(
    State(inside): State<Inside>,
    _: Operator,
    RawQuery(query): RawQuery,
) -> Result<Json<KeysView>, Refusal> {
    change(&inside, KeyChange::Use(fingerprint(query)?)).await
}

async fn remove(
    State(inside): State<Inside>,
    _: Operator,
    RawQuery(query): RawQuery,
) -> Result<Json<KeysView>, Refusal> {
    change(&inside, KeyChange::Remove(fingerprint(query)?)).await
}

fn fingerprint(query: Option<String>) -> Result<String, Refusal> {
    let given = query::field(&query.unwrap_or_default(), "key")?;
    let given = given.ok_or_else(|| bad("say which key: ?key=FINGERPRINT"))?;
    Ok(String::from_utf8_lossy(&given).into_owned())
}

fn door(inside: &Inside) -> Result<&KeyDoor, Refusal> {
    let why = "this node encrypts nothing and has no keys: start it with --encrypt-key-file";
    inside.keys.as_deref().ok_or_else(|| Refusal(StatusCode::CONFLICT, why.to_owned()))
}

/// First the file, then the node: what a node has done, it also does after a restart.
async fn change(inside: &Inside, change: KeyChange) -> Result<Json<KeysView>, Refusal> {
    let door = door(inside)?;
    let _turn = door.turn.lock().await;
    let before = ask(&inside.handle, |reply| Command::Keys { reply }).await?;
    let (ring, key) = change.apply(&before)?;
    let (file, after) = (Arc::clone(&door.file), ring.clone());
    // The disk may take its time; the node's loop must not wait for it.
    let written = tokio::task::spawn_blocking(move || file.replace(&before, &after)).await;
    let stopped = |_| Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the node is stopping".to_owned());
    written.map_err(stopped)??;
    let view = KeysView::of(&ring, Some(key));
    tracing::info!(%key, keys = view.keys.len(), "the keys have changed");
    ask(&inside.handle, |reply| Command::SetKeys { ring, reply }).await?;
    Ok(Json(view))
}

impl From<KeyChangeError> for Refusal {
    fn from(error: KeyChangeError) -> Self {
        let status = match error {
            KeyChangeError::NoFingerprint { .. } => StatusCode::BAD_REQUEST,
            KeyChangeError::Unknown { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        Self(status, error.to_string())
    }
}

impl From<KeyFileError> for Refusal {
    fn from(error: KeyFileError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn whoever_runs_kv_demo_on_the_nodes_host_may_operate_it() {
        for (peer, host) in [
            ("127.0.0.1", "127.0.0.1:30500"),
            ("::1", "[::1]:30500"),
            ("::ffff:127.0.0.1", "localhost:30500"),
            ("127.0.0.2", "127.0.0.2"),
        ] {
            let headers = headers(&[("kv-demo-operator", "1"), ("host", host)]);
            assert_eq!(judge(peer.parse().ok(), &headers), Ok(()), "{peer} {host}");
        }
    }

    #[test]
    fn nobody_else_may() {
        let here: Option<IpAddr> = "127.0.0.1".parse().ok();
        let good = [("kv-demo-operator", "1"), ("host", "127.0.0.1:30500")];
        let refused = |peer, pairs: &[_]| judge(peer, &headers(pairs)).unwrap_err();
        assert!(refused("192.0.2.1".parse().ok(), &good).contains("own host"));
        assert!(refused(None, &good).contains("own host"));
        // A form of another site: it may post, but not with this header.
        assert!(refused(here, &good[1..]).contains("web pages"));
        let from_page = [good[0], good[1], ("origin", "http://example.org")];
        assert!(refused(here, &from_page).contains("web pages"));
        // A page of `example.org`, whose name was made to lead to this host.
        for host in ["example.org:30500", "example.org", "127.0.0.1.example.org", ""] {
            let pairs = [good[0], ("host", host)];
            assert!(refused(here, &pairs).contains("another name"), "{host}");
        }
    }
}
