//! A member that obeys lines on its standard input and says what it hears as JSON lines on its
//! standard output: the other side of the Go program in `tests/interop/peer/`, which lists the
//! lines in `main.go`. Beside them it knows `neighbors ADDR...`, the static links of the mode
//! `matching`, and `clients`, the plain members that it brings rumours to. The tests that bring both together start this one as a process of its own,
//! so that it can be stopped and killed.
//!
//! ```sh
//! echo members | cargo run -p rumormill-mio --example peer -- --name ada --bind 127.0.0.1:0
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, Write as _};
use std::time::Duration;

use bytes::Bytes;
use rumormill::{
    Channel, Config, Delivery, Event, Fact, Key, Keyring, Mode, Node, NodeName, Params,
};
use rumormill_mio::{App, Ctl, NodeKey, NodeOptions, Runtime};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let Options { node: options, meta, state } = options(std::env::args().skip(1))?;
    let (mut runtime, handle) = Runtime::new(Peer { node: None })?;
    let node = runtime.add(options)?;
    runtime.app_mut().node = Some(node);
    runtime.act(node, |node, now| {
        node.set_channel_state(Channel::BARE, state);
        if meta.is_empty() { Ok(()) } else { node.set_meta(now, &meta) }
    })?;
    let name = runtime.node(node).local().name.to_string();
    say("ready", &[("name", &name), ("addr", &runtime.local_addr(node).to_string())]);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
            if handle.send(line).is_err() {
                return;
            }
        }
        // Whoever started this process has gone.
        let _ = handle.send("quit".into());
    });
    runtime.run()?;
    Ok(())
}

// ── The command line ────────────────────────────────────────────────────────────────────────────

/// What the command line says.
struct Options {
    node: NodeOptions,
    meta: Vec<u8>,
    state: Bytes,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let (mut name, mut bind) = (String::from("rust"), String::from("127.0.0.1:0"));
    let (mut config, mut meta, mut state) = (Config::lan(), Vec::new(), Bytes::new());
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--name" => name = value,
            "--bind" => bind = value,
            "--meta" => meta = unhex(&value)?,
            "--state" => state = unhex(&value)?.into(),
            // It replaces all others, and so comes first.
            "--profile" => config = profile(&value)?,
            flag => set(&mut config, flag, &value)?,
        }
    }
    let params = Params::try_from(config)?;
    let node = NodeOptions::new(NodeName::new(name)?, bind.parse()?, params);
    Ok(Options { node, meta, state })
}

fn profile(name: &str) -> Result<Config> {
    Ok(match name {
        "lan" => Config::lan(),
        "wan" => Config::wan(),
        "local" => Config::local(),
        "serf" => Config::serf(),
        other => return Err(format!("no profile is called {other}").into()),
    })
}

fn set(config: &mut Config, flag: &str, value: &str) -> Result<()> {
    match flag {
        "--keys" => config.keyring = keyring(value)?,
        "--compression" => config.compression = value == "on",
        "--label" => config.label = value.into(),
        "--protocol" => config.protocol_version = value.parse()?,
        "--delegate" => config.delegate_version = triple(value)?,
        "--suspicion-mult" => config.suspicion_mult = value.parse()?,
        "--probe-interval" => config.probe_interval = Some(duration(value)?),
        "--probe-timeout" => config.probe_timeout = duration(value)?,
        "--gossip-interval" => config.gossip_interval = Some(duration(value)?),
        "--push-pull" => config.push_pull_interval = Some(duration(value)?),
        "--matching" if value == "on" => config.rumor_mode = Mode::Matching,
        "--serf-intents" => config.serf_intents = value == "on",
        other => return Err(format!("no flag is called {other}").into()),
    }
    Ok(())
}

fn keyring(list: &str) -> Result<Keyring> {
    let mut ring = Keyring::new();
    for text in list.split(',') {
        ring.install(Key::new(&unhex(text)?)?)?;
    }
    Ok(ring)
}

fn triple(text: &str) -> Result<[u8; 3]> {
    let numbers = text.split(',').map(str::parse).collect::<Result<Vec<u8>, _>>()?;
    numbers.try_into().map_err(|_| "min,max,current".into())
}

fn duration(text: &str) -> Result<Duration> {
    let millis = text.strip_suffix("ms").ok_or("a duration ends with ms")?;
    Ok(Duration::from_millis(millis.parse()?))
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = |at| text.get(at..at + 2).ok_or("an odd number of hex digits");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(digits(at)?, 16)?)).collect()
}

// ── Output ──────────────────────────────────────────────────────────────────────────────────────

/// Prints one line. Values are names, addresses and hex digits: what needs escapes is rare.
fn say(event: &str, fields: &[(&str, &str)]) {
    let mut line = format!("{{\"event\":\"{event}\"");
    for (key, value) in fields {
        let _ = write!(line, ",\"{key}\":\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    }
    // Nobody reads any more: the end of the input will end this process.
    let _ = writeln!(std::io::stdout(), "{line}}}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

// ── The member ──────────────────────────────────────────────────────────────────────────────────

struct Peer {
    node: Option<NodeKey>,
}

impl App for Peer {
    type Command = String;

    fn on_event(&mut self, _: &mut Ctl<'_>, _: NodeKey, event: Event) {
        match event.fact {
            Fact::Joined { name, addr, meta } => {
                let fields = [
                    ("name", &*name.to_string()),
                    ("addr", &addr.to_string()),
                    ("meta", &hex(&meta)),
                ];
                say("join", &fields);
            }
            Fact::Updated { name, meta, .. } | Fact::Restarted { name, meta } => {
                say("update", &[("name", &name.to_string()), ("meta", &hex(&meta))]);
            }
            Fact::Left { name, .. } => {
                say("gone", &[("name", &name.to_string()), ("how", "left")]);
            }
            Fact::Failed { name, .. } => {
                say("gone", &[("name", &name.to_string()), ("how", "dead")]);
            }
            Fact::Suspected { name, .. } => say("suspected", &[("name", &name.to_string())]),
            Fact::Recovered { name, .. } => say("recovered", &[("name", &name.to_string())]),
            Fact::Refuted { .. } => say("refuted", &[]),
            Fact::Conflict { name, .. } => say("conflict", &[("name", &name.to_string())]),
            Fact::SeedReached { seed } => say("joined", &[("addr", &seed.to_string())]),
            Fact::SeedFailed { reason, .. } => say("refused", &[("error", &reason.to_string())]),
            Fact::PeerState { bytes, join, .. } => {
                say("peer-state", &[("payload", &hex(&bytes)), ("join", &join.to_string())]);
            }
            Fact::Rumor { id, payload, .. } => {
                say("message", &[("payload", &hex(&payload)), ("id", &id.short().to_string())]);
            }
            Fact::Message { payload, .. } => say("message", &[("payload", &hex(&payload))]),
            Fact::LeaveDone => say("left-self", &[]),
            Fact::Resync { dropped } => say("resync", &[("dropped", &dropped.to_string())]),
            _ => {}
        }
    }

    fn on_command(&mut self, ctl: &mut Ctl<'_>, line: String) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(node) = self.node.filter(|_| !words.is_empty()) else { return };
        if words == ["quit"] {
            ctl.stop();
        } else if let Err(error) = obey(ctl, node, &words) {
            say("error", &[("command", words[0]), ("error", &error.to_string())]);
        }
    }
}

fn obey(ctl: &mut Ctl<'_>, at: NodeKey, words: &[&str]) -> Result<()> {
    match words {
        ["join", seeds @ ..] => {
            let seeds = seeds.iter().map(|seed| seed.parse()).collect::<Result<Vec<_>, _>>()?;
            ctl.act(at, |node, now| node.join(now, &seeds));
        }
        ["leave"] => ctl.act(at, Node::leave),
        ["meta", meta @ ..] => {
            let meta = unhex(&meta.concat())?;
            ctl.act(at, |node, now| node.set_meta(now, &meta))?;
        }
        ["state", state @ ..] => {
            let state = unhex(&state.concat())?.into();
            ctl.act(at, |node, _| node.set_channel_state(Channel::BARE, state));
        }
        ["broadcast", payload] => {
            let payload = unhex(payload)?;
            ctl.act(at, |node, now| node.broadcast(now, Channel::BARE, &payload))?;
        }
        ["send", name, how, payload] => {
            let (to, payload) = (NodeName::new(name)?, unhex(payload)?);
            let delivery =
                if *how == "reliable" { Delivery::Reliable } else { Delivery::BestEffort };
            ctl.act(at, |node, now| node.send(now, &to, Channel::BARE, &payload, delivery))?;
        }
        ["neighbors", addrs @ ..] => {
            let addrs = addrs.iter().map(|addr| addr.parse()).collect::<Result<Vec<_>, _>>()?;
            let params = Config { neighbors: addrs, ..(**ctl.node(at).params()).clone() };
            let params = Params::try_from(params)?;
            ctl.act(at, |node, now| node.set_params(now, params));
            say("neighbors", &[]);
        }
        ["clients"] => {
            let names: Vec<_> = ctl.node(at).stands_in_for().map(NodeName::to_string).collect();
            say("clients", &[("names", &names.join(" "))]);
        }
        ["members"] => say_members(ctl.node(at)),
        ["state-of", name] => {
            let member = ctl.node(at).member(name.as_bytes());
            let state = member.map_or("unknown".into(), |member| member.state.to_string());
            say("state-of", &[("name", name), ("state", &state)]);
        }
        ["key", verb, key @ ..] => {
            let key = unhex(&key.concat())?;
            let keys = ctl.act(at, |node, _| change_keys(node.keyring_mut(), verb, &key))?;
            say("keys", &[("keys", &keys)]);
        }
        _ => return Err(format!("not understood: {}", words.join(" ")).into()),
    }
    Ok(())
}

/// Changes the keys and tells which there are, the primary first.
fn change_keys(ring: &mut Keyring, verb: &str, key: &[u8]) -> Result<String> {
    match verb {
        "install" => drop(ring.install(Key::new(key)?)?),
        "use" => ring.use_key(&Key::new(key)?)?,
        "remove" => drop(ring.remove(&Key::new(key)?)?),
        "list" => {}
        other => return Err(format!("not understood: key {other}").into()),
    }
    Ok(ring.keys().map(|key| hex(key.as_bytes())).collect::<Vec<_>>().join(","))
}

fn say_members(node: &Node) {
    for member in node.members().filter(|member| member.state.is_live()) {
        let (name, addr) = (member.name.to_string(), member.addr.to_string());
        say("member", &[("name", &name), ("addr", &addr), ("meta", &hex(member.meta))]);
    }
    say("members", &[("count", &node.live_members().to_string())]);
}
