//! Shares of what is bounded for all peers together, so that one of them cannot use all of it up.

/// Whether there is room for something of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes.
    Free,
    /// Not for this peer: much is in use, and it has its share.
    Spent,
    /// For nobody.
    Full,
}

/// The part of the whole that each peer has for sure while others leave so much.
const SHARE: usize = 8;

/// Whether a peer that uses `own` may use one more where all together use `used` of `max`. Half of it is
/// for whoever comes, because a busy neighbour is no attacker; of the other half nobody gets more than
/// its share.
pub(crate) const fn room(used: usize, own: usize, max: usize) -> Room {
    if used >= max {
        Room::Full
    } else if used >= max / 2 && own >= max / SHARE {
        Room::Spent
    } else {
        Room::Free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_for_whoever_comes_and_beyond_it_everybody_has_an_eighth() {
        assert_eq!(room(799, 799, 1_600), Room::Free);
        assert_eq!(room(800, 800, 1_600), Room::Spent);
        assert_eq!(room(800, 199, 1_600), Room::Free);
        assert_eq!(room(800, 200, 1_600), Room::Spent);
        assert_eq!(room(1_599, 0, 1_600), Room::Free);
        assert_eq!(room(1_600, 0, 1_600), Room::Full);
    }

    #[test]
    fn who_takes_all_that_is_given_leaves_room_for_four_others() {
        let max = 1_600;
        let mut used = [0; 6];
        for peer in 0..used.len() {
            while room(used.iter().sum(), used[peer], max) == Room::Free {
                used[peer] += 1;
            }
        }
        assert_eq!(used, [800, 200, 200, 200, 200, 0]);
    }
}
