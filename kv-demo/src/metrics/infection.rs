//! Who got the rumour, when, and from whom.

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

use super::history;
use super::story::Story;
use super::{Creation, NS_PER_MS, Run, after, as_ms};

/// A node's first receipt of the rumour.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    /// Nanoseconds since the Unix epoch, not before the creation.
    t: u64,
    /// Index of the sender's trace; `None` when no trace is the sender's.
    from: Option<usize>,
    /// As the rumour counted; `None` where the wire does not carry it.
    hop: Option<u32>,
}

/// The infection tree of one run.
#[derive(Clone, Debug)]
pub(super) struct Infection {
    creation: Creation,
    /// By index of the trace; the creator's is `None`, whatever came back to it.
    receipts: Vec<Option<Receipt>>,
}

impl Infection {
    /// `senders` are the traces by address, of which there are `traces`.
    pub(super) fn of(
        run: &Run,
        story: &Story,
        senders: &BTreeMap<SocketAddr, usize>,
        traces: usize,
    ) -> Self {
        let creation = story.creation;
        let horizon = after(creation.t, run.horizon_ms);
        let mut receipts = vec![None; traces];
        for (index, first) in &story.firsts {
            if *index != creation.creator && first.t <= horizon {
                let from = first.from.and_then(|address| senders.get(&address).copied());
                let t = first.t.max(creation.t);
                receipts[*index] = Some(Receipt { t, from, hop: first.hop });
            }
        }
        Self { creation, receipts }
    }

    /// When it began, in nanoseconds since the Unix epoch.
    pub(super) const fn created(&self) -> u64 {
        self.creation.t
    }

    /// The index of each trace whose node has the rumour, and after how many nanoseconds.
    pub(super) fn reached_after(&self) -> impl Iterator<Item = (usize, u64)> {
        let delay = |(index, receipt): (usize, &Option<Receipt>)| {
            receipt.map(|receipt| (index, receipt.t - self.creation.t))
        };
        let others = self.receipts.iter().enumerate().filter_map(delay);
        core::iter::once((self.creation.creator, 0)).chain(others)
    }

    /// Nodes that have the rumour, the creator among them.
    pub(super) fn reached(&self) -> u32 {
        let receivers = u32::try_from(self.receipts().count());
        receivers.expect("there are no more traces than nodes").saturating_add(1)
    }

    /// In nanoseconds since the Unix epoch.
    pub(super) fn last_receipt(&self) -> Option<u64> {
        self.receipts().map(|receipt| receipt.t).max()
    }

    pub(super) fn convergence_ms(&self) -> Option<f64> {
        self.last_receipt().map(|t| as_ms(t - self.creation.t))
    }

    /// Ascending, since the creation.
    pub(super) fn receipts_ms(&self) -> Vec<f64> {
        self.delays_ns().into_iter().map(as_ms).collect()
    }

    /// Newly reached nodes in each interval, up to the last that has one.
    pub(super) fn per_epoch(&self, interval_ms: u64) -> Vec<u32> {
        let interval_ns = interval_ms.saturating_mul(NS_PER_MS);
        let mut epochs: Vec<u32> = vec![1];
        for delay in self.delays_ns() {
            let epoch = usize::try_from(delay / interval_ns).expect("EPOCHS_MAX bounds epochs");
            epochs.resize(epochs.len().max(epoch + 1), 0);
            epochs[epoch] = epochs[epoch].saturating_add(1);
        }
        epochs
    }

    /// Levels below the creator, if every receiver can be traced back to it.
    pub(super) fn last_delivery_hop(&self) -> Option<u32> {
        let depths = self.depths();
        let deepest = depths.iter().flatten().copied().max().filter(|deepest| *deepest > 0);
        let placed = depths.iter().flatten().count();
        // Nodes that name nobody, or each other in a circle, hang below nobody.
        deepest.filter(|_| u32::try_from(placed) == Ok(self.reached()))
    }

    /// The level below the creator of each node that can be traced back to it.
    fn depths(&self) -> Vec<Option<u32>> {
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.receipts.len()];
        for (node, receipt) in self.receipts.iter().enumerate() {
            if let Some(from) = receipt.and_then(|receipt| receipt.from) {
                children[from].push(node);
            }
        }
        let mut depths = vec![None; self.receipts.len()];
        let mut queue = VecDeque::from([(self.creation.creator, 0)]);
        while let Some((node, depth)) = queue.pop_front() {
            depths[node] = Some(depth);
            queue.extend(children[node].iter().map(|child| (*child, depth + 1)));
        }
        depths
    }

    /// All receipts, the earliest first.
    pub(super) fn first_receipts(&self) -> Vec<history::Receipt> {
        let depths = self.depths();
        let receipt = |(node, receipt): (usize, &Option<Receipt>)| {
            let Receipt { t, from, hop } = (*receipt)?;
            let t_ns = t - self.creation.t;
            Some(history::Receipt { t_ns, node, from, hop: hop.or(depths[node]) })
        };
        let mut receipts: Vec<history::Receipt> =
            self.receipts.iter().enumerate().filter_map(receipt).collect();
        receipts.sort_by_key(|receipt| receipt.t_ns);
        receipts
    }

    fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.receipts.iter().flatten()
    }

    fn delays_ns(&self) -> Vec<u64> {
        let mut delays: Vec<u64> =
            self.receipts().map(|receipt| receipt.t - self.creation.t).collect();
        delays.sort_unstable();
        delays
    }
}
