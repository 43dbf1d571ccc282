//! Asking one DNS server one question (RFC 1035, RFC 2782): over UDP, and over TCP when the answer
//! did not fit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::ResolveError;

/// Patience with one attempt. The caller asks again later, for ever.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Attempts by UDP: a datagram may be lost.
const ATTEMPTS: usize = 2;
/// Largest answer by UDP, in bytes: what was not asked for (EDNS) is at most 512.
const UDP_LEN_MAX: usize = 4_096;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
    Srv,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Ip(IpAddr),
    Service(Service),
}

/// One host of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
}

impl Record {
    pub(super) const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Service(_) => None,
        }
    }

    pub(super) fn service(self) -> Option<Service> {
        match self {
            Self::Service(service) => Some(service),
            Self::Ip(_) => None,
        }
    }

    fn of(rdata: &RData<'_>, kind: Kind) -> Option<Self> {
        match (rdata, kind) {
            (RData::A(a), Kind::A) => Some(Self::Ip(Ipv4Addr::from(a.address).into())),
            (RData::AAAA(aaaa), Kind::Aaaa) => Some(Self::Ip(Ipv6Addr::from(aaaa.address).into())),
            (RData::SRV(srv), Kind::Srv) => Some(Self::Service(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_string(),
            })),
            _ => None,
        }
    }
}

impl From<Kind> for TYPE {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::A => Self::A,
            Kind::Aaaa => Self::AAAA,
            Kind::Srv => Self::SRV,
        }
    }
}

/// Asks `server` for the records of `name`. That there are none, or no such name, is no error.
///
/// # Errors
///
/// [`ResolveError::Server`] if it gives no answer that counts, or the name fits no question.
pub(super) async fn ask(
    server: SocketAddr,
    name: &str,
    kind: Kind,
) -> Result<Vec<Record>, ResolveError> {
    let failed = |reason: io::Error| ResolveError::Server { server, reason: reason.to_string() };
    // A number that nobody can guess who does not see the question.
    let id = u16::from_be_bytes(rumormill_mio::entropy().map_err(failed)?);
    let query = query(id, name, kind).map_err(failed)?;
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..ATTEMPTS {
        let asked = async {
            match by_udp(server, &query, id, name, kind).await? {
                Answer::Whole(records) => Ok(records),
                Answer::Truncated => by_tcp(server, &query, id, name, kind).await,
            }
        };
        match timeout(ATTEMPT, asked).await {
            Ok(Ok(records)) => return Ok(records),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "it is silent"),
        }
    }
    Err(failed(last))
}

fn query(id: u16, name: &str, kind: Kind) -> io::Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name.trim_end_matches('.')).map_err(io::Error::other)?;
    let kind = QTYPE::TYPE(kind.into());
    packet.questions.push(Question::new(name, kind, QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().map_err(io::Error::other)
}

/// What one message of a server says.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Whole(Vec<Record>),
    /// It did not fit.
    Truncated,
}

async fn by_udp(
    server: SocketAddr,
    query: &[u8],
    id: u16,
    name: &str,
    kind: Kind,
) -> io::Result<Answer> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port of its own for each question, and connected: others' datagrams do not come in.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buf = vec![0; UDP_LEN_MAX];
    loop {
        let len = socket.recv(&mut buf).await?;
        let message = buf.get(..len).unwrap_or_default();
        // What is no answer to this question came late, or from somebody who guesses.
        if let Some(answer) = read(message, id, name, kind)? {
            return Ok(answer);
        }
    }
}

async fn by_tcp(
    server: SocketAddr,
    query: &[u8],
    id: u16,
    name: &str,
    kind: Kind,
) -> io::Result<Vec<Record>> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), query].concat()).await?;
    let len = stream.read_u16().await?;
    let mut message = vec![0; len.into()];
    stream.read_exact(&mut message).await?;
    match read(&message, id, name, kind)? {
        Some(Answer::Whole(records)) => Ok(records),
        Some(Answer::Truncated) => Err(io::Error::other("its answer by TCP is cut off")),
        None => Err(io::Error::other("its answer is to another question")),
    }
}

/// Reads a message; `None` if it is no answer to this question.
fn read(message: &[u8], id: u16, name: &str, kind: Kind) -> io::Result<Option<Answer>> {
    let packet = match Packet::parse(message) {
        Ok(packet) => packet,
        // The header comes first: a message that is cut off there may be cut off anywhere.
        Err(_) if is_truncated_answer(message, id) => return Ok(Some(Answer::Truncated)),
        Err(_) => return Ok(None),
    };
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !repeats(&packet, name, kind)
    {
        return Ok(None);
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Ok(Some(Answer::Truncated));
    }
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        code => return Err(io::Error::other(format!("it refused: {code:?}"))),
    }
    let records = packet.answers.iter().filter_map(|record| Record::of(&record.rdata, kind));
    Ok(Some(Answer::Whole(records.collect())))
}

fn repeats(packet: &Packet<'_>, name: &str, kind: Kind) -> bool {
    let asked = name.trim_end_matches('.');
    packet.questions.iter().any(|question| {
        question.qname.to_string().eq_ignore_ascii_case(asked)
            && question.qtype == QTYPE::TYPE(kind.into())
    })
}

/// Whether the header says so, in a message that cannot be read further.
fn is_truncated_answer(message: &[u8], id: u16) -> bool {
    const RESPONSE: u8 = 0x80;
    const TRUNCATION: u8 = 0x02;
    match message {
        [high, low, flags, ..] => {
            u16::from_be_bytes([*high, *low]) == id
                && flags & RESPONSE != 0
                && flags & TRUNCATION != 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, SRV};

    use super::*;

    const NAME: &str = "_a._udp.example.org";

    /// The answer of a server to `query(7, NAME, …)`.
    fn answer(kind: Kind, rdata: Vec<RData<'static>>) -> Packet<'static> {
        let mut packet = Packet::new_reply(7);
        let name = Name::new(NAME).unwrap();
        let kind = QTYPE::TYPE(kind.into());
        packet.questions.push(Question::new(name.clone(), kind, QCLASS::CLASS(CLASS::IN), false));
        let record = |rdata| ResourceRecord::new(name.clone(), CLASS::IN, 1, rdata);
        packet.answers = rdata.into_iter().map(record).collect();
        packet
    }

    fn srv(port: u16, target: &'static str) -> RData<'static> {
        let target = Name::new(target).unwrap();
        RData::SRV(SRV { priority: 1, weight: 2, port, target })
    }

    #[test]
    fn an_answer_is_read_whether_names_are_compressed_or_not() {
        let packet = answer(Kind::Srv, vec![srv(1, "a.example.org"), srv(2, "b.example.org")]);
        for bytes in [packet.build_bytes_vec(), packet.build_bytes_vec_compressed()] {
            let Some(Answer::Whole(records)) = read(&bytes.unwrap(), 7, NAME, Kind::Srv).unwrap()
            else {
                panic!("it is whole")
            };
            let targets: Vec<_> = records.into_iter().filter_map(Record::service).collect();
            assert_eq!((targets.len(), targets[1].target.as_str()), (2, "b.example.org"));
            assert_eq!((targets[0].priority, targets[0].weight, targets[0].port), (1, 2, 1));
        }
    }

    #[test]
    fn only_an_answer_to_this_question_counts() {
        let bytes = answer(Kind::Srv, vec![srv(1, "a")]).build_bytes_vec().unwrap();
        assert!(read(&bytes, 7, &NAME.to_uppercase(), Kind::Srv).unwrap().is_some());
        assert_eq!(read(&bytes, 8, NAME, Kind::Srv).unwrap(), None);
        assert_eq!(read(&bytes, 7, "_b._udp.example.org", Kind::Srv).unwrap(), None);
        assert_eq!(read(&bytes, 7, NAME, Kind::A).unwrap(), None);
        let asked = query(7, NAME, Kind::Srv).unwrap();
        assert_eq!(read(&asked, 7, NAME, Kind::Srv).unwrap(), None, "a question is no answer");
    }

    #[test]
    fn records_of_other_types_are_passed_over() {
        let packet = answer(Kind::A, vec![srv(1, "a"), RData::A(A { address: 0x7f00_0001 })]);
        let found = read(&packet.build_bytes_vec().unwrap(), 7, NAME, Kind::A).unwrap();
        let loopback = Record::Ip(Ipv4Addr::LOCALHOST.into());
        assert_eq!(found, Some(Answer::Whole(vec![loopback])));
    }

    #[test]
    fn no_such_name_is_an_answer_and_a_refusal_is_none() {
        let mut packet = answer(Kind::A, Vec::new());
        *packet.rcode_mut() = RCODE::NameError;
        let found = read(&packet.build_bytes_vec().unwrap(), 7, NAME, Kind::A).unwrap();
        assert_eq!(found, Some(Answer::Whole(Vec::new())));
        *packet.rcode_mut() = RCODE::ServerFailure;
        assert!(read(&packet.build_bytes_vec().unwrap(), 7, NAME, Kind::A).is_err());
    }

    #[test]
    fn what_was_cut_off_is_asked_for_again() {
        let mut packet = answer(Kind::Srv, vec![srv(1, "a")]);
        packet.set_flags(PacketFlag::TRUNCATION);
        let bytes = packet.build_bytes_vec().unwrap();
        for len in [bytes.len(), bytes.len() - 3] {
            let found = read(&bytes[..len], 7, NAME, Kind::Srv).unwrap();
            assert_eq!(found, Some(Answer::Truncated), "{len}");
        }
    }

    #[test]
    fn names_that_fit_no_question_are_refused() {
        assert!(query(1, &"a".repeat(64), Kind::A).is_err(), "a label of 64 bytes");
        assert!(query(1, &"a.".repeat(128), Kind::A).is_err(), "a name of 257 bytes");
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..90,
            byte: u8,
        ) {
            let _ = read(&noise, 7, NAME, Kind::Srv);
            let packet = answer(Kind::Srv, vec![srv(1, "a.example.org"), srv(2, "b")]);
            let mut bytes = packet.build_bytes_vec_compressed().unwrap();
            if let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
            let _ = read(&bytes, 7, NAME, Kind::Srv);
            bytes.truncate(at);
            let _ = read(&bytes, 7, NAME, Kind::Srv);
        }
    }
}
