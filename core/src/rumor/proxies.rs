//! Plain memberlist members do not take part in the overlay. Two of ours bring each of them what is
//! meant for them: those whose agreed hash with its name is highest (rendezvous hashing), so that
//! nobody has to say so.

use alloc::vec::Vec;

use crate::hash;
use crate::member::{MemberId, Table};

/// How many bring a plain member its rumours.
pub(crate) const PROXIES: usize = 2;

fn weight(proxy: &[u8], plain: &[u8]) -> u128 {
    let len = u8::try_from(proxy.len()).unwrap_or(u8::MAX);
    hash::agreed(&[b"proxy", &[len], proxy, plain])
}

/// The plain members that `me` brings rumours to, in the table's order. Looks at every plain member,
/// and for each at every one of ours.
pub(crate) fn clients(table: &Table, me: MemberId) -> Vec<MemberId> {
    let Some(my_name) = table.get(me).map(|record| record.name.clone()) else { return Vec::new() };
    let live = || table.iter().filter(|(_, record)| record.state.is_live());
    let plain = live().filter(|&(id, record)| id != me && !record.takes_envelopes());
    let mine = plain.filter(|(_, record)| {
        let plain = record.name.as_bytes();
        let my_weight = weight(my_name.as_bytes(), plain);
        let ours = live().filter(|&(id, record)| id != me && record.takes_envelopes());
        let heavier = ours.filter(|(_, other)| weight(other.name.as_bytes(), plain) > my_weight);
        heavier.take(PROXIES).count() < PROXIES
    });
    mine.map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::BootEpoch;
    use crate::wire::tags::{Advert, CAPABILITY_ENVELOPE};

    #[test]
    fn each_plain_member_has_two_proxies_and_they_are_shared_out() {
        let (mut table, _) = Table::sample(40);
        let advert = Advert { capabilities: CAPABILITY_ENVELOPE, epoch: BootEpoch(1), zone: 0 };
        let ours: Vec<MemberId> =
            (0..10).map(|n| table.find(alloc::format!("{n}").as_bytes()).unwrap()).collect();
        for &id in &ours {
            table.get_mut(id).unwrap().set_meta(&advert.add_to(b"").unwrap());
        }
        let shares: Vec<Vec<MemberId>> = ours.iter().map(|&me| clients(&table, me)).collect();
        for (id, record) in table.iter().filter(|(_, record)| !record.takes_envelopes()) {
            let proxies = shares.iter().filter(|clients| clients.contains(&id)).count();
            assert_eq!(proxies, PROXIES, "{}", record.name);
        }
        let most = shares.iter().map(Vec::len).max();
        assert!(most < Some(20), "nobody has them all: {most:?}");
    }

    #[test]
    fn one_of_ours_alone_serves_all() {
        let (mut table, _) = Table::sample(5);
        let me = table.find(b"0").unwrap();
        let advert = Advert { capabilities: CAPABILITY_ENVELOPE, epoch: BootEpoch(1), zone: 0 };
        table.get_mut(me).unwrap().set_meta(&advert.add_to(b"").unwrap());
        assert_eq!(clients(&table, me).len(), 4);
    }
}
