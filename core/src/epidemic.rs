//! When a node loses interest in a rumour, and who tells whom: the choices of Demers et al. 1987
//! §1.4.
//!
//! The repair of the overlay uses them for digests; the study of `kv-demo` for whole epidemics.

/// How rumours are mongered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epidemic {
    /// Who tells whom.
    pub exchange: Exchange,
    /// Whether only contacts count that were in vain (*feedback*), or all (*blind*).
    pub feedback: bool,
    /// When interest is lost.
    pub stop: Stop,
}

/// Who tells whom in a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// The one that makes the contact tells. As [`Config::repair`](crate::Config::repair) nobody answers
    /// then, so that feedback counts nothing: interest ends when payloads are no longer kept.
    Push,
    /// The one that makes the contact asks.
    Pull,
    /// Both.
    PushPull,
}

/// What ends the interest in a rumour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The k-th contact that counts, 1 to 255. With feedback, one that was of use sets the count
    /// back to 0.
    Counter(u8),
    /// Each contact that counts, with a chance of 1 to k, 1 to 255.
    Coin(u8),
}

impl Epidemic {
    /// Feedback, a counter of three, both ways.
    pub const DEFAULT: Self =
        Self { exchange: Exchange::PushPull, feedback: true, stop: Stop::Counter(3) };

    /// Takes a contact into account: `useful` if the other side did not know the rumour,
    /// `contacts` counts those that were in vain, and `one_in` tosses a coin that shows heads once
    /// in so many times. `true`: interest is lost.
    pub fn cools(&self, contacts: &mut u8, useful: bool, one_in: impl FnOnce(u8) -> bool) -> bool {
        if self.feedback && useful {
            *contacts = 0;
            return false;
        }
        *contacts = contacts.saturating_add(1);
        match self.stop {
            Stop::Counter(k) => *contacts >= k,
            Stop::Coin(k) => one_in(k),
        }
    }
}

impl Default for Epidemic {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cooled_after(epidemic: Epidemic, contacts: &[bool], heads_at: usize) -> Option<usize> {
        let mut count = 0;
        contacts
            .iter()
            .enumerate()
            .position(|(nth, &useful)| epidemic.cools(&mut count, useful, |_| nth == heads_at))
    }

    #[test]
    fn feedback_counts_contacts_in_vain_and_begins_anew_after_a_useful_one() {
        let epidemic = Epidemic { stop: Stop::Counter(2), ..Epidemic::DEFAULT };
        assert_eq!(cooled_after(epidemic, &[false, true, false, false], 9), Some(3));
        assert_eq!(cooled_after(epidemic, &[true, true, true], 9), None);
    }

    #[test]
    fn blind_counts_every_contact() {
        let epidemic = Epidemic { feedback: false, stop: Stop::Counter(2), ..Epidemic::DEFAULT };
        assert_eq!(cooled_after(epidemic, &[true, true, false], 9), Some(1));
    }

    #[test]
    fn a_coin_is_tossed_for_contacts_that_count() {
        let coin = Epidemic { stop: Stop::Coin(4), ..Epidemic::DEFAULT };
        assert_eq!(cooled_after(coin, &[false, false, false], 2), Some(2));
        assert_eq!(cooled_after(coin, &[false, true, false], 1), None, "useful: no toss");
        let blind = Epidemic { feedback: false, ..coin };
        assert_eq!(cooled_after(blind, &[false, true, false], 1), Some(1));
    }
}
