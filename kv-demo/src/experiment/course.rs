//! One run, whatever its nodes are: they come up, meet at the barrier, spread messages, and leave their
//! traces.
//!
//! ```text
//! opened, silent ─► started one by one ─► all see all (the barrier) ─► settled
//!                ─► messages through the first node ─► window and horizon ─► traces
//! ```

use std::fs;
use std::time::Duration;

use super::cluster::ClusterError;
use super::run::{RunError, RunFile, RunPlan, Stage, write_run_file};
use crate::metrics::Outage;
use crate::report::HostClock;

/// Longest wait at the barrier. Sixteen nodes take a second or two.
const BARRIER_MAX: Duration = Duration::from_secs(120);
/// The window is watched this much longer, so that its last datagrams are in the traces.
const MARGIN: Duration = Duration::from_millis(100);

/// The nodes of a run, wherever they are. They have their addresses, and are silent until they are
/// started.
pub(super) trait Nodes: Sized {
    /// How many there are.
    fn size(&self) -> usize;
    /// Time since they have their addresses.
    fn now(&self) -> Duration;
    /// Lets so much time pass.
    fn pass(&mut self, time: Duration) -> Result<(), RunError>;
    /// Lets time pass until something is so, but not much longer than this. Whether it is so.
    fn wait(
        &mut self,
        most: Duration,
        is_so: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, RunError>;
    /// A uniformly random part of a time.
    fn part_of(&mut self, time: Duration) -> Result<Duration, RunError>;

    /// Starts a node with the barrier's values; it joins the first one.
    fn start(&mut self, index: usize);
    /// How many see all.
    fn seeing_all(&self) -> usize;
    /// All take the preset's values.
    fn settle(&mut self);
    /// How many then have no more to tell about members.
    fn settled(&self) -> usize;

    /// Writes a message through the first node.
    fn write(&mut self) -> Result<(), RunError>;
    /// From now on only messages that are yet to be written are of interest.
    fn forget(&mut self);
    /// Who has those that are.
    fn reach(&mut self) -> Reach;
    /// The measuring begins: counters are written down.
    fn mark(&mut self) -> Result<(), RunError>;
    /// The faults begin.
    fn strike(&mut self) -> Result<(), RunError>;

    /// Ends them, with their traces in the run's folder.
    fn end(self) -> Result<Ending, RunError>;
}

/// How far messages have come, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// How many of the living have them.
    pub(super) has: usize,
    /// How many live.
    pub(super) live: usize,
}

/// What is known of a run when it is over.
#[derive(Debug)]
pub(super) struct Ending {
    /// The hosts and their clocks.
    pub(super) hosts: Vec<HostClock>,
    /// Who was down.
    pub(super) outages: Vec<Outage>,
}

/// Carries out a run and leaves its traces. Nodes that were opened are gone in any case, those on
/// hosts that cannot be reached excepted.
pub(super) fn run<N: Nodes>(
    plan: &RunPlan,
    progress: &mut dyn FnMut(Stage),
    open: impl FnOnce() -> Result<N, RunError>,
) -> Result<(), RunError> {
    fs::create_dir_all(&plan.dir).map_err(RunError::files(&plan.dir))?;
    write_run_file(&plan.dir, &plan.file)?;
    progress(Stage::Starting);
    let mut course = Course { nodes: open()?, plan, progress };
    course.come_up()?;
    course.spread()?;
    let Ending { hosts, outages } = course.nodes.end()?;
    write_run_file(&plan.dir, &RunFile { hosts, outages, ..plan.file.clone() })
}

/// A run under way.
struct Course<'a, N> {
    nodes: N,
    plan: &'a RunPlan,
    progress: &'a mut dyn FnMut(Stage),
}

impl<N: Nodes> Course<'_, N> {
    /// Brings the nodes through the barrier.
    fn come_up(&mut self) -> Result<(), RunError> {
        let barrier = self.plan.file.barrier;
        for index in 0..self.nodes.size() {
            self.nodes.start(index);
            self.nodes.pass(Duration::from_millis(barrier.spacing_ms))?;
        }
        self.wait_for_all("all nodes see all nodes", N::seeing_all, Stage::Joining)?;
        self.nodes.settle();
        let what = "all nodes have no more to tell about members";
        self.wait_for_all(what, N::settled, Stage::Settling)?;
        let warm_up = Duration::from_millis(barrier.warm_up_ms);
        self.nodes.pass(warm_up.saturating_sub(self.nodes.now()))
    }

    fn wait_for_all(
        &mut self,
        what: &'static str,
        count: fn(&N) -> usize,
        stage: fn(usize) -> Stage,
    ) -> Result<(), RunError> {
        let size = self.nodes.size();
        let all = |nodes: &mut N| {
            let counted = count(nodes);
            (self.progress)(stage(counted));
            counted == size
        };
        if self.nodes.wait(BARRIER_MAX, all)? {
            return Ok(());
        }
        let progress = format!("{} of {size}", count(&self.nodes));
        Err(ClusterError::TimedOut { seconds: BARRIER_MAX.as_secs(), what, progress }.into())
    }

    /// Writes all messages and lets windows and horizons pass.
    fn spread(&mut self) -> Result<(), RunError> {
        let conditions = self.plan.file.conditions;
        for _ in 0..conditions.warm_in(self.plan.file.run.mode) {
            self.pause()?;
            self.nodes.forget();
            self.nodes.write()?;
            if conditions.rate.is_none() {
                self.watch(Duration::ZERO)?;
            }
        }
        self.nodes.mark()?;
        self.nodes.forget();
        for number in 0..conditions.messages {
            self.pause()?;
            if number == 0 {
                self.nodes.strike()?;
            }
            self.nodes.write()?;
            if conditions.rate.is_none() || number + 1 == conditions.messages {
                let window = Duration::from_millis(self.plan.file.run.window_ms);
                self.watch(window + MARGIN)?;
            }
        }
        Ok(())
    }

    /// Until the next message is written.
    fn pause(&mut self) -> Result<(), RunError> {
        let interval = Duration::from_millis(self.plan.file.run.interval_ms);
        let pause = match self.plan.file.conditions.gap() {
            Some(gap) => gap,
            // What went before lies close behind somebody's tick; the message must not.
            None => self.nodes.part_of(interval)?,
        };
        self.nodes.pass(pause)
    }

    /// Waits until all who live have the messages, at most until the horizon, and at least for the
    /// window.
    fn watch(&mut self, window: Duration) -> Result<(), RunError> {
        let since = self.nodes.now();
        let have_it = |nodes: &mut N| {
            let Reach { has, live } = nodes.reach();
            (self.progress)(Stage::Spreading(has));
            has >= live
        };
        // Who has not got it by the horizon shows in the figures.
        self.nodes.wait(Duration::from_millis(self.plan.file.run.horizon_ms), have_it)?;
        (self.progress)(Stage::Watching);
        let spent = self.nodes.now().saturating_sub(since);
        self.nodes.wait(window.saturating_sub(spent), |_| false)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mode, Overrides, Preset};
    use crate::experiment::Conditions;
    use crate::metrics::{Overlay, Run, Runtime};
    use crate::report::Barrier;
    use crate::topology::{Graph, Topology};
    use crate::trace::TraceFormat;
    use core::num::NonZeroU32;
    use std::path::PathBuf;
    use std::sync::Arc;

    const MS: Duration = Duration::from_millis(1);
    const WINDOW: Duration = Duration::from_millis(300);
    const HORIZON: Duration = Duration::from_millis(2_000);

    /// Two nodes that do as they are told, and write it down.
    struct Script {
        now: Duration,
        said: Vec<&'static str>,
        /// When messages were written.
        wrote_at: Vec<Duration>,
        /// How long a message takes; `None`: it never arrives.
        takes: Option<Duration>,
        /// Whether nodes meet.
        meet: bool,
    }

    impl Script {
        fn new(takes: Option<Duration>) -> Self {
            let (said, wrote_at) = (Vec::new(), Vec::new());
            Self { now: Duration::ZERO, said, wrote_at, takes, meet: true }
        }
    }

    impl Nodes for Script {
        fn size(&self) -> usize {
            2
        }

        fn now(&self) -> Duration {
            self.now
        }

        fn pass(&mut self, time: Duration) -> Result<(), RunError> {
            self.now += time;
            Ok(())
        }

        fn wait(
            &mut self,
            most: Duration,
            mut is_so: impl FnMut(&mut Self) -> bool,
        ) -> Result<bool, RunError> {
            let end = self.now + most;
            while !is_so(self) {
                if self.now >= end {
                    return Ok(false);
                }
                self.now += MS;
            }
            Ok(true)
        }

        fn part_of(&mut self, time: Duration) -> Result<Duration, RunError> {
            Ok(time / 4)
        }

        fn start(&mut self, _: usize) {
            self.said.push("start");
        }

        fn seeing_all(&self) -> usize {
            if self.meet { 2 } else { 1 }
        }

        fn settle(&mut self) {
            self.said.push("settle");
        }

        fn settled(&self) -> usize {
            2
        }

        fn write(&mut self) -> Result<(), RunError> {
            self.said.push("write");
            self.wrote_at.push(self.now);
            Ok(())
        }

        fn forget(&mut self) {
            self.said.push("forget");
        }

        fn reach(&mut self) -> Reach {
            let spent = self.wrote_at.last().map_or(Duration::ZERO, |at| self.now - *at);
            let is_there = self.takes.is_some_and(|takes| spent >= takes);
            Reach { has: if is_there { 2 } else { 1 }, live: 2 }
        }

        fn mark(&mut self) -> Result<(), RunError> {
            self.said.push("mark");
            Ok(())
        }

        fn strike(&mut self) -> Result<(), RunError> {
            self.said.push("strike");
            Ok(())
        }

        fn end(self) -> Result<Ending, RunError> {
            Ok(Ending { hosts: Vec::new(), outages: Vec::new() })
        }
    }

    fn plan(conditions: Conditions, mode: Mode) -> RunPlan {
        let run = Run {
            topology: Topology::Bus,
            dim: 1,
            nodes: 2,
            mode,
            overlay: Overlay::of(mode),
            repeat: 0,
            runtime: Runtime::Sim,
            preset: Preset::Lan,
            interval_ms: 200,
            window_ms: u64::try_from(WINDOW.as_millis()).unwrap(),
            horizon_ms: u64::try_from(HORIZON.as_millis()).unwrap(),
        };
        let file = RunFile {
            run,
            barrier: Barrier {
                push_pull_ms: 1,
                retransmit_mult: 1,
                spacing_ms: 20,
                warm_up_ms: 500,
            },
            overrides: Vec::new(),
            asked_hosts: Vec::new(),
            version: String::new(),
            world: None,
            conditions,
            outages: Vec::new(),
            hosts: Vec::new(),
        };
        let graph = Arc::new(Graph::of(Topology::Bus, 2, 0).unwrap());
        let (victims, dir) = (Vec::new(), PathBuf::new());
        let (overrides, trace_format) = (Overrides::default(), TraceFormat::Json);
        RunPlan { file, graph, victims, overrides, trace_format, dir }
    }

    /// The nodes when all is written and watched.
    fn carry_out(conditions: Conditions, nodes: Script) -> Result<Script, RunError> {
        carry_out_in(Mode::Matching, conditions, nodes)
    }

    fn carry_out_in(mode: Mode, conditions: Conditions, nodes: Script) -> Result<Script, RunError> {
        let (plan, mut progress) = (plan(conditions, mode), |_| {});
        let mut course = Course { nodes, plan: &plan, progress: &mut progress };
        course.come_up()?;
        assert_eq!(course.nodes.now, 500 * MS, "the warm-up counts from the first start");
        course.spread()?;
        Ok(course.nodes)
    }

    #[test]
    fn nodes_start_meet_and_settle_before_anything_is_written() {
        let conditions = Conditions { warm: 1, messages: 2, ..Conditions::default() };
        let nodes = carry_out(conditions, Script::new(Some(10 * MS))).unwrap();
        let said = "start start settle forget write mark forget strike write write";
        assert_eq!(nodes.said.join(" "), said);
    }

    #[test]
    fn what_warms_up_is_awaited_and_what_is_measured_is_watched_for_the_window() {
        let conditions = Conditions { warm: 1, messages: 2, ..Conditions::default() };
        let nodes = carry_out(conditions, Script::new(Some(10 * MS))).unwrap();
        let pause = 50 * MS;
        let first = 500 * MS + pause;
        let second = first + 10 * MS + pause;
        let third = second + WINDOW + MARGIN + pause;
        assert_eq!(nodes.wrote_at, [first, second, third]);
        assert_eq!(nodes.now, third + WINDOW + MARGIN);
    }

    #[test]
    fn modes_without_trees_have_nothing_to_warm_up() {
        let conditions = Conditions { warm: 3, messages: 2, ..Conditions::default() };
        for mode in [Mode::ThesisClassic, Mode::ThesisMatching, Mode::Classic] {
            let nodes = carry_out_in(mode, conditions, Script::new(Some(10 * MS))).unwrap();
            assert_eq!(nodes.wrote_at.len(), 2, "{mode}");
        }
    }

    #[test]
    fn a_message_that_takes_longer_than_the_window_is_watched_until_it_is_there_or_the_horizon() {
        for (takes, watched) in [(Some(700 * MS), 700 * MS), (None, HORIZON)] {
            let nodes = carry_out(Conditions::default(), Script::new(takes)).unwrap();
            assert_eq!(nodes.now - nodes.wrote_at[0], watched);
        }
    }

    #[test]
    fn messages_at_a_rate_wait_for_nobody_and_the_last_one_is_watched() {
        let rate = NonZeroU32::new(100);
        let conditions = Conditions { warm: 2, messages: 3, rate, ..Conditions::default() };
        let nodes = carry_out(conditions, Script::new(Some(40 * MS))).unwrap();
        let times: Vec<Duration> = (1..=5).map(|number| 500 * MS + number * 10 * MS).collect();
        assert_eq!(nodes.wrote_at, times);
        assert_eq!(nodes.now, times[4] + WINDOW + MARGIN);
    }

    #[test]
    fn nodes_that_do_not_meet_are_given_up_with_how_far_they_came() {
        let nodes = Script { meet: false, ..Script::new(None) };
        let error = carry_out(Conditions::default(), nodes).err().unwrap().to_string();
        assert_eq!(error, "waited 120 s in vain until all nodes see all nodes (1 of 2)");
    }
}
