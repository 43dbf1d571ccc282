//! A DNS server on loopback that knows what its test tells it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use simple_dns::rdata::{A, AAAA, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// Records by name. A name that is not there does not exist.
#[derive(Default)]
struct Zone {
    hosts: BTreeMap<String, Vec<IpAddr>>,
    services: BTreeMap<String, Vec<(u16, String)>>,
    questions: BTreeMap<String, u64>,
    by_tcp_only: bool,
}

/// It answers until its test's process ends.
pub struct Dns {
    pub addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl Dns {
    pub fn start() -> Self {
        let (tcp, udp) = super::wait_for("a port that is free for UDP and TCP", || {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            Some((TcpListener::bind(udp.local_addr().unwrap()).ok()?, udp))
        });
        let addr = udp.local_addr().unwrap();
        let zone = Arc::<Mutex<Zone>>::default();
        let shared = Arc::clone(&zone);
        std::thread::spawn(move || serve_udp(&udp, &shared));
        let shared = Arc::clone(&zone);
        std::thread::spawn(move || serve_tcp(&tcp, &shared));
        Self { addr, zone }
    }

    /// From now on the host has these addresses.
    pub fn host(&self, name: &str, addresses: &[IpAddr]) {
        self.zone.lock().unwrap().hosts.insert(name.to_owned(), addresses.to_vec());
    }

    /// From now on the service runs at these ports of these hosts.
    pub fn service(&self, name: &str, targets: &[(u16, &str)]) {
        let targets = targets.iter().map(|&(port, host)| (port, host.to_owned())).collect();
        self.zone.lock().unwrap().services.insert(name.to_owned(), targets);
    }

    /// From now on no answer fits a datagram.
    pub fn answer_by_tcp_only(&self) {
        self.zone.lock().unwrap().by_tcp_only = true;
    }

    /// How often a name was asked for.
    pub fn questions(&self, name: &str) -> u64 {
        self.zone.lock().unwrap().questions.get(name).copied().unwrap_or_default()
    }
}

fn serve_udp(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut buf = [0; 512];
    while let Ok((len, from)) = socket.recv_from(&mut buf) {
        let answer = answer(&buf[..len], &mut zone.lock().unwrap(), false);
        let _ = socket.send_to(&answer, from);
    }
}

fn serve_tcp(listener: &TcpListener, zone: &Mutex<Zone>) {
    for mut stream in listener.incoming().flatten() {
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut query = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut query).unwrap();
        let answer = answer(&query, &mut zone.lock().unwrap(), true);
        let len = u16::try_from(answer.len()).unwrap().to_be_bytes();
        stream.write_all(&[&len[..], &answer].concat()).unwrap();
    }
}

fn answer(query: &[u8], zone: &mut Zone, is_tcp: bool) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let question = &query.questions[0];
    let name = question.qname.to_string();
    let mut reply = Packet::new_reply(query.id());
    reply.questions = query.questions.clone();
    if zone.by_tcp_only && !is_tcp {
        reply.set_flags(PacketFlag::TRUNCATION);
        return reply.build_bytes_vec().unwrap();
    }
    *zone.questions.entry(name.clone()).or_default() += 1;
    let rdata = records(zone, &name, question.qtype);
    let record = |rdata| ResourceRecord::new(question.qname.clone(), CLASS::IN, 1, rdata);
    reply.answers = rdata.into_iter().map(record).collect();
    if !zone.hosts.contains_key(&name) && !zone.services.contains_key(&name) {
        *reply.rcode_mut() = RCODE::NameError;
    }
    reply.build_bytes_vec().unwrap()
}

fn records<'a>(zone: &'a Zone, name: &str, kind: QTYPE) -> Vec<RData<'a>> {
    let hosts = zone.hosts.get(name).into_iter().flatten();
    match kind {
        QTYPE::TYPE(TYPE::A) => hosts
            .filter_map(|ip| match ip {
                IpAddr::V4(ip) => Some(RData::A(A { address: (*ip).into() })),
                IpAddr::V6(_) => None,
            })
            .collect(),
        QTYPE::TYPE(TYPE::AAAA) => hosts
            .filter_map(|ip| match ip {
                IpAddr::V6(ip) => Some(RData::AAAA(AAAA { address: (*ip).into() })),
                IpAddr::V4(_) => None,
            })
            .collect(),
        QTYPE::TYPE(TYPE::SRV) => zone
            .services
            .get(name)
            .into_iter()
            .flatten()
            .map(|(port, target)| {
                let target = Name::new(target).unwrap();
                RData::SRV(SRV { priority: 1, weight: 1, port: *port, target })
            })
            .collect(),
        _ => Vec::new(),
    }
}
