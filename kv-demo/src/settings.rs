//! From a preset, a mode and overrides to the parameters of a node.

mod unheeded;

use core::net::SocketAddr;
use core::time::Duration;

use rumormill::{Config, ConfigError, Params, Stagger};

use crate::config::{Mode, Overrides, Phase, Preset};
use crate::topology::Topology;
use crate::wire::WireSettings;

pub use unheeded::{NEIGHBOR, OVERLAY, Setting, Source, Unheeded, WARM, check};

/// Everything that decides how a node gossips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the numbers come from.
    pub preset: Preset,
    /// How rumours spread.
    pub mode: Mode,
    /// What replaces the preset's numbers.
    pub overrides: Overrides,
    /// The links of the matching modes.
    pub neighbors: Vec<SocketAddr>,
    /// What is around its messages.
    pub wire: WireSettings,
}

impl Settings {
    /// Without links, label and keys.
    #[must_use]
    pub fn new(preset: Preset, mode: Mode, overrides: Overrides) -> Self {
        let wire = WireSettings::default();
        Self { preset, mode, overrides, neighbors: Vec::new(), wire }
    }

    /// The parameters.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the numbers do not fit together.
    pub fn params(&self) -> Result<Params, ConfigError> {
        Params::try_from(self.config())
    }

    /// The knobs, before they are checked.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = base(self.preset);
        config.rumor_mode = core_mode(self.mode);
        config.neighbors.clone_from(&self.neighbors);
        apply(&self.overrides, &mut config);
        self.wire.apply(&mut config);
        config
    }
}

/// The knobs of a preset.
#[must_use]
pub fn base(preset: Preset) -> Config {
    match preset {
        Preset::Lan => Config::lan(),
        Preset::Wan => Config::wan(),
        Preset::Local => Config::local(),
        Preset::Serf => Config::serf(),
        // The original's `DefaultWANConfig` with its own flags.
        Preset::Thesis => Config {
            gossip_interval: Some(Duration::from_millis(500)),
            gossip_fanout: 3,
            rumor_retransmit_mult: 10,
            retransmit_mult: 1,
            packet_size_max: 3_500,
            probe_interval: Some(Duration::from_secs(10)),
            push_pull_interval: None,
            heal_interval: None,
            stagger: Stagger::Start,
            // A bus of 1024 over the thesis' links takes 26 s, and repair must not outrun it.
            payload_cache_for: Duration::from_secs(60),
            ..Config::wan()
        },
        // The numbers of the README that the project started from.
        Preset::Seed => Config {
            gossip_interval: Some(Duration::from_millis(100)),
            gossip_fanout: 2,
            rumor_retransmit_mult: 3,
            push_pull_interval: None,
            heal_interval: None,
            stagger: Stagger::Start,
            ..Config::local()
        },
    }
}

/// How long after its creation the copies of a rumour are counted, in milliseconds.
#[must_use]
pub fn window_ms(preset: Preset, topology: Topology, dim: u32) -> u64 {
    match (preset, topology) {
        (Preset::Seed, Topology::Bus | Topology::Ring) => 1_000,
        (Preset::Seed, _) => match dim {
            0..=2 => 200,
            3 => 500,
            4 => 1_000,
            5 | 6 => 2_000,
            7 => 4_000,
            8 => 8_000,
            _ => 10_000,
        },
        _ => 1_000 * u64::from(dim),
    }
}

/// The core's word for a mode.
#[must_use]
pub const fn core_mode(mode: Mode) -> rumormill::Mode {
    match mode {
        Mode::ThesisClassic => rumormill::Mode::ThesisClassic,
        Mode::ThesisMatching => rumormill::Mode::ThesisMatching,
        Mode::Classic => rumormill::Mode::Classic,
        Mode::Matching => rumormill::Mode::Matching,
    }
}

fn apply(overrides: &Overrides, config: &mut Config) {
    let millis = |value: u32| Duration::from_millis(value.into());
    if let Some(interval) = overrides.gossip_interval_ms {
        config.gossip_interval = Some(millis(interval));
    }
    if let Some(fanout) = overrides.fanout {
        config.gossip_fanout = fanout as usize;
    }
    if let Some(mult) = overrides.retransmit_mult {
        config.rumor_retransmit_mult = mult;
    }
    if let Some(piggyback) = overrides.piggyback {
        config.rumor_piggyback = piggyback;
    }
    if let Some(size) = overrides.packet_size_max {
        config.packet_size_max = size as usize;
    }
    if let Some(interval) = overrides.probe_interval_ms {
        config.probe_interval = Some(millis(interval));
        // The preset's timeout may not fit below a shorter interval; half of it always does.
        config.probe_timeout = config.probe_timeout.min(millis(interval) / 2);
    }
    if let Some(phase) = overrides.phase {
        config.stagger = match phase {
            Phase::Start | Phase::Aligned => Stagger::Start,
            Phase::Random => Stagger::Random,
        };
    }
    if let Some(interval) = overrides.push_pull_interval_ms {
        config.push_pull_interval = (interval > 0).then(|| millis(interval));
    }
    apply_switches(overrides, config);
}

/// What the switches that tell apart what a mode is made of mean to the core.
fn apply_switches(overrides: &Overrides, config: &mut Config) {
    let Overrides { dedup, immediate, prune, repair, floor, .. } = *overrides;
    config.dedup = dedup.or(config.dedup);
    if let Some(is_on) = immediate {
        config.immediate = is_on;
        // Trees need it: whoever wants neither says so once.
        config.prune &= is_on;
    }
    config.prune = prune.unwrap_or(config.prune);
    config.floor = floor.unwrap_or(config.floor);
    if let Some(is_on) = repair {
        config.repair = is_on.then(|| config.repair.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(preset: Preset) -> Settings {
        Settings::new(preset, Mode::Matching, Overrides::default())
    }

    #[test]
    fn every_preset_is_valid_in_every_mode() {
        for preset in Preset::ALL {
            for mode in Mode::ALL {
                assert!(Settings { mode, ..settings(preset) }.params().is_ok(), "{preset} {mode}");
            }
        }
    }

    #[test]
    fn the_thesis_preset_has_the_thesis_numbers() {
        let config = settings(Preset::Thesis).config();
        assert_eq!(config.gossip_interval, Some(Duration::from_millis(500)));
        assert_eq!((config.gossip_fanout, config.rumor_retransmit_mult), (3, 10));
        assert_eq!((config.retransmit_mult, config.packet_size_max), (1, 3_500));
        assert_eq!(config.probe_interval, Some(Duration::from_secs(10)));
        assert_eq!(config.push_pull_interval, None);
        assert_eq!(config.stagger, Stagger::Start);
    }

    #[test]
    fn the_serf_profile_is_that_of_a_local_network_with_serfs_versions() {
        let config = settings(Preset::Serf).config();
        assert_eq!(config.delegate_version, [2, 5, 4]);
        let lan = settings(Preset::Lan).config();
        let own = Config { serf_intents: false, delegate_version: lan.delegate_version, ..config };
        assert_eq!(own, lan);
    }

    #[test]
    fn overrides_replace_the_presets_numbers() {
        let overrides = Overrides {
            gossip_interval_ms: Some(50),
            fanout: Some(5),
            retransmit_mult: Some(7),
            piggyback: Some(false),
            packet_size_max: Some(1_300),
            probe_interval_ms: Some(300),
            push_pull_interval_ms: Some(0),
            ..Overrides::default()
        };
        let config = Settings { overrides, ..settings(Preset::Lan) }.config();
        assert_eq!(config.gossip_interval, Some(Duration::from_millis(50)));
        assert_eq!((config.gossip_fanout, config.rumor_retransmit_mult), (5, 7));
        assert!(!config.rumor_piggyback);
        assert_eq!(config.packet_size_max, 1_300);
        assert_eq!(config.probe_interval, Some(Duration::from_millis(300)));
        assert_eq!(config.probe_timeout, Duration::from_millis(150));
        assert_eq!(config.push_pull_interval, None);
        assert!(Params::try_from(config).is_ok());
    }

    #[test]
    fn switches_turn_the_parts_of_matching_off_and_on() {
        let config = |overrides| Settings { overrides, ..settings(Preset::Lan) }.config();
        let none = Overrides::default();
        let given = |is_on| Overrides {
            immediate: Some(is_on),
            prune: Some(is_on),
            repair: Some(is_on),
            floor: Some(is_on),
            ..none
        };
        let parts = |config: Config| {
            (config.immediate, config.prune, config.repair.is_some(), config.floor)
        };
        assert_eq!(parts(config(none)), (true, true, true, true));
        assert_eq!(parts(config(given(true))), (true, true, true, true));
        assert_eq!(parts(config(given(false))), (false, false, false, false));
        let at_ticks = config(Overrides { immediate: Some(false), ..none });
        assert_eq!(parts(at_ticks.clone()), (false, false, true, true));
        assert!(Params::try_from(at_ticks).is_ok(), "trees need what was switched off");
        let alone = config(Overrides { repair: Some(false), ..none });
        assert_eq!(parts(alone), (true, true, false, true));
    }

    #[test]
    fn windows_are_those_of_the_documents() {
        let cube = |dim| window_ms(Preset::Seed, Topology::Hypercube, dim);
        let windows: Vec<u64> = (2..=9).map(cube).collect();
        assert_eq!(windows, [200, 500, 1_000, 2_000, 2_000, 4_000, 8_000, 10_000]);
        assert_eq!(window_ms(Preset::Seed, Topology::Bus, 4), 1_000);
        assert_eq!(window_ms(Preset::Thesis, Topology::Ring, 6), 6_000);
    }
}
