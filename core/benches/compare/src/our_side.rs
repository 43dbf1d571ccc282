//! Rumormill.

use std::hint::black_box;
use std::time::Duration;

use crate::crowd::{self, Crowd};
use crate::{Side, Work, count_allocations, heap_per_member, time};

pub struct OurSide {
    crowd: Crowd,
    size: usize,
    ping: Vec<u8>,
    known: Vec<u8>,
}

impl OurSide {
    pub fn new(size: usize) -> Self {
        let (ping, known) = (crowd::ping(), crowd::known_updates(size));
        Self { crowd: Crowd::new(size, b""), size, ping, known }
    }
}

impl Side for OurSide {
    fn run(&mut self, work: Work, packets: u32) -> Duration {
        let (packet, answers) = match work {
            Work::Ping => (&self.ping, 1),
            Work::Known => (&self.known, 0),
        };
        time(|| {
            for _ in 0..packets {
                assert_eq!(self.crowd.receive(black_box(packet)), answers);
            }
        })
    }

    fn allocations(&mut self, work: Work, packets: u32) -> f64 {
        count_allocations(packets, || {
            self.run(work, packets);
        })
    }

    fn bytes_per_member(&mut self) -> f64 {
        let size = self.size;
        heap_per_member(size, Crowd::alone, |crowd| crowd.meet(size, b""))
            - crowd::name(0).len() as f64
    }
}
