//! Kinds of faults: each can be masked, and each must have happened in a swarm.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::chance::{Chance, Part, Ratio};

macro_rules! classes {
    ($($(#[doc = $doc:literal])* $class:ident = $name:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Class {
            $($(#[doc = $doc])* $class,)*
        }

        impl Class {
            /// All kinds, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$class),*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$class => $name,)*
                }
            }
        }
    };
}

classes! {
    /// Datagrams are lost.
    Loss = "loss",
    /// Datagrams arrive twice.
    Duplication = "duplication",
    /// Datagrams overtake one another.
    Reordering = "reordering",
    /// Bytes of datagrams change.
    Corruption = "corruption",
    /// Everything from and to some processes takes longer for a while.
    Delay = "delay",
    /// Some links carry nothing one way.
    Cut = "cut",
    /// Two parts of the cluster do not hear each other, or one does not hear the other.
    Partition = "partition",
    /// Links stop one by one and resume one by one, and what waited arrives late.
    Swizzle = "swizzle",
    /// A process sends slowly, and loses what does not fit its queue.
    Bandwidth = "bandwidth",
    /// A process stands still, and finds everything at once when it goes on.
    Pause = "pause",
    /// A process ends without a word and starts anew.
    Crash = "crash",
    /// Whoever ends loses what it had not saved, and knows the rest.
    Unsynced = "unsynced",
    /// A process comes back under its name at another address.
    Move = "move",
    /// A process says goodbye and comes back.
    Leave = "leave",
    /// Clocks run apart, and may be behind after a restart.
    Clock = "clock",
    /// Streams are read in pieces of any size.
    Split = "split",
    /// Streams break in the middle of a message.
    Reset = "reset",
    /// Streams and calls vanish, and nobody says so.
    BlackHole = "black-hole",
    /// Pings that want their answers sent to a victim (attack 6).
    Reflect = "reflect",
    /// Captured datagrams come again (attack 8).
    Replay = "replay",
    /// Another cluster, with another label, joins ours (attack 9).
    Crosstalk = "crosstalk",
    /// Members that do not exist (attack 11).
    Ghosts = "ghosts",
    /// Calls that never say anything, or dribble (attack 12).
    Slowloris = "slowloris",
    /// Datagrams that no key opens (attack 13).
    WrongKey = "wrong-key",
    /// Statements about members with incarnations that hardly leave room to refute (attack 4).
    Incarnation = "incarnation",
    /// A goodbye that the member never said, and its name at another address (attack 5).
    Hijack = "hijack",
    /// Accusations of one member without end (attack 7).
    Suspects = "suspects",
    /// Tables with room for few strangers (attack 11).
    FewMembers = "few-members",
    /// Few streams at a time (attack 12).
    FewStreams = "few-streams",
    /// Applications that are told of few events at a time.
    FewEvents = "few-events",
    /// Little memory for streams.
    SmallBuffers = "small-buffers",
}

/// A text that names no [`Class`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{given}` is no kind of fault; there are {}", names(Class::ALL))]
pub struct UnknownClass {
    /// What was given.
    pub given: String,
}

fn names(classes: &[Class]) -> String {
    let names: Vec<_> = classes.iter().map(|class| class.name()).collect();
    names.join(", ")
}

impl Class {
    /// Its number, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its own source of chance, so that a masked kind shifts no other.
    pub(super) fn chance(self, seed: u64) -> Chance {
        Chance::child(seed, Part::Fault(self as u8))
    }

    /// How often a seed draws it: attacks less than the faults of the field.
    const fn likelihood(self) -> Ratio {
        match self {
            Self::Loss | Self::Duplication | Self::Reordering => Ratio::percent(60),
            Self::Crash => Ratio::percent(50),
            // It takes strangers to reach these.
            Self::FewMembers | Self::SmallBuffers => Ratio::percent(40),
            Self::FewStreams | Self::FewEvents => Ratio::percent(20),
            _ if self.index() >= Self::Reflect.index() => Ratio::percent(15),
            _ => Ratio::percent(30),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        let named = Self::ALL.iter().find(|class| class.name() == text);
        named.copied().ok_or_else(|| UnknownClass { given: text.to_owned() })
    }
}

/// Some kinds of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u32);

const _: () = assert!(Class::ALL.len() <= u32::BITS as usize, "a class is a bit");

impl Classes {
    /// None.
    pub const NONE: Self = Self(0);

    /// Those that a seed draws.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut drawn = Self::NONE;
        // Some seeds have no fault at all: quiet clusters must be well too.
        if Chance::child(seed, Part::Fault(u8::MAX)).happens(Ratio::percent(4)) {
            return drawn;
        }
        for &class in Class::ALL {
            if class.chance(seed).happens(class.likelihood()) {
                drawn.insert(class);
            }
        }
        drawn
    }

    /// Adds one.
    pub const fn insert(&mut self, class: Class) {
        self.0 |= 1 << class.index();
    }

    /// Adds one, or takes it away.
    pub const fn set(&mut self, class: Class, is_among: bool) {
        if is_among {
            self.insert(class);
        } else {
            self.0 &= !(1 << class.index());
        }
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, class: Class) -> bool {
        self.0 & (1 << class.index()) != 0
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// In the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.iter().copied().filter(move |&class| self.has(class))
    }
}

impl FromIterator<Class> for Classes {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        let mut all = Self::NONE;
        classes.into_iter().for_each(|class| all.insert(class));
        all
    }
}

/// As the command line takes them: names with commas between them, or `none`.
impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.pad("none");
        }
        let names: Vec<_> = self.iter().map(Class::name).collect();
        f.pad(&names.join(","))
    }
}

/// How often each kind of fault really happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired(Vec<u64>);

impl Default for Fired {
    fn default() -> Self {
        Self(vec![0; Class::ALL.len()])
    }
}

impl Fired {
    /// Counts some more.
    pub fn add(&mut self, class: Class, times: u64) {
        self.0[class.index()] += times;
    }

    /// How often it happened.
    #[must_use]
    pub fn times(&self, class: Class) -> u64 {
        self.0[class.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_reads_back_and_has_its_number() {
        for (index, &class) in Class::ALL.iter().enumerate() {
            assert_eq!(class.name().parse(), Ok(class));
            assert_eq!(class.index(), index);
        }
        let error = "plague".parse::<Class>().unwrap_err().to_string();
        assert!(error.contains("`plague`") && error.contains("black-hole"), "{error}");
    }

    #[test]
    fn every_class_is_drawn_by_some_seeds_and_some_seeds_draw_none() {
        let drawn: Vec<_> = (0..400).map(Classes::draw).collect();
        for &class in Class::ALL {
            let times = drawn.iter().filter(|drawn| drawn.has(class)).count();
            assert!((20..300).contains(&times), "{class}: {times}");
        }
        assert!(drawn.contains(&Classes::NONE));
    }
}
