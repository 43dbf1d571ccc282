//! `kv-demo experiment epidemic`: what can be said about it, and what it means.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kv_demo::experiment::epidemic::{
    Partner, Policy, RUNS_MAX, SITES, SITES_MAX, Study, TABLES, Table, with_k,
};
use rumormill::{Epidemic, Exchange, Stop};

#[derive(Debug, Args)]
pub(crate) struct EpidemicArgs {
    /// Who tells whom in a contact, several are separated by commas: the one that makes it (push), the
    /// one that is asked (pull), or both
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    exchange: Vec<Way>,
    /// Which contacts bring a site nearer to losing interest: those that were in vain (feedback), or
    /// all (blind)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    interest: Vec<Interest>,
    /// What ends the interest: the k-th contact that counts, of which a useful one sets the count back
    /// (counter), or each with a chance of 1 to k (coin)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    stop: Vec<End>,
    /// Whom a site may tell: any other; not the one that told it first (not-back); nor those that it
    /// told already (unsent). With nobody left it loses interest. The published tables have any
    /// [default: any]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    partner: Vec<Whom>,
    /// The k of counters and coins [default: those of the published tables, otherwise 1,2,3,4,5]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..))]
    k: Vec<u8>,
    /// How many sites there are; published figures are for 1000
    #[arg(long, value_name = "N", default_value_t = SITES, value_parser = clap::value_parser!(u32).range(2..=i64::from(SITES_MAX)))]
    sites: u32,
    /// Epidemics of each policy
    #[arg(long, value_name = "R", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(RUNS_MAX)))]
    runs: u32,
    /// Where all chance comes from: the same seed gives the same figures
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How to print the figures
    #[arg(long, default_value = "table")]
    pub(crate) format: EpidemicFormat,
    /// Write epidemic.json and epidemic.csv there, too
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EpidemicFormat {
    /// For people.
    Table,
    /// For programs: one JSON object.
    Json,
    /// For spreadsheets: a row for each policy.
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    Push,
    Pull,
    PushPull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Interest {
    Feedback,
    Blind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum End {
    Counter,
    Coin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whom {
    Any,
    NotBack,
    Unsent,
}

impl EpidemicArgs {
    /// What is to be studied.
    pub(crate) fn study(&self) -> Study {
        let Self { sites, runs, seed, .. } = *self;
        Study { policies: self.policies(), sites, runs, seed }
    }

    /// Kind by kind, each with all partners, and each of those with all k.
    fn policies(&self) -> Vec<Policy> {
        let is_published =
            self.exchange.is_empty() && self.interest.is_empty() && self.stop.is_empty();
        let kinds =
            if is_published { TABLES.map(|table| table.policy).to_vec() } else { self.kinds() };
        let with_all_k = |policy: Epidemic| {
            let table = Table::of(policy).filter(|_| is_published);
            let ks = super::given_or(&self.k, &[1, 2, 3, 4, 5]).into_iter();
            let is_wanted =
                |k: &u8| !self.k.is_empty() || table.is_none_or(|table| table.row(*k).is_some());
            ks.filter(is_wanted).map(|k| with_k(policy, k)).collect::<Vec<_>>()
        };
        let partners = super::given_or(&self.partner, &[Whom::Any]);
        let with_all_partners = |kind: Epidemic| {
            let policies = with_all_k(kind);
            partners.iter().flat_map(move |&whom| {
                let policy = |&epidemic: &Epidemic| Policy { epidemic, partner: partner(whom) };
                policies.iter().map(policy).collect::<Vec<_>>()
            })
        };
        kinds.into_iter().flat_map(with_all_partners).collect()
    }

    /// The policies that were named; what was left out is as in the first table.
    fn kinds(&self) -> Vec<Epidemic> {
        let mut kinds = Vec::new();
        for exchange in super::given_or(&self.exchange, &[Way::Push]) {
            for interest in super::given_or(&self.interest, &[Interest::Feedback]) {
                for stop in super::given_or(&self.stop, &[End::Counter]) {
                    kinds.push(policy(exchange, interest, stop));
                }
            }
        }
        kinds
    }
}

fn policy(exchange: Way, interest: Interest, stop: End) -> Epidemic {
    Epidemic {
        exchange: match exchange {
            Way::Push => Exchange::Push,
            Way::Pull => Exchange::Pull,
            Way::PushPull => Exchange::PushPull,
        },
        feedback: interest == Interest::Feedback,
        stop: match stop {
            End::Counter => Stop::Counter(1),
            End::Coin => Stop::Coin(1),
        },
    }
}

fn partner(whom: Whom) -> Partner {
    match whom {
        Whom::Any => Partner::Any,
        Whom::NotBack => Partner::NotBack,
        Whom::Unsent => Partner::Unsent,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command, ExperimentCommand};
    use super::*;
    use clap::Parser as _;

    fn study(flags: &str) -> Option<Study> {
        let line = format!("kv-demo experiment epidemic {flags}");
        let cli = Cli::try_parse_from(line.split_whitespace()).ok()?;
        let Command::Experiment(args) = cli.command else { return None };
        let Some(ExperimentCommand::Epidemic(args)) = args.command else { return None };
        Some(args.study())
    }

    #[test]
    fn without_flags_it_is_the_published_tables() {
        let study = study("").unwrap();
        assert_eq!((study.policies.len(), study.sites, study.runs), (13, 1_000, 1_000));
        let first = Epidemic { exchange: Exchange::Push, feedback: true, stop: Stop::Counter(1) };
        assert_eq!(study.policies[0], Policy { epidemic: first, partner: Partner::Any });
        let last = Epidemic { exchange: Exchange::Pull, feedback: true, stop: Stop::Counter(3) };
        assert_eq!(study.policies[12], Policy { epidemic: last, partner: Partner::Any });
    }

    #[test]
    fn named_policies_are_all_combinations() {
        let named = study("--exchange push-pull,pull --stop coin,counter --k 2,7").unwrap();
        assert_eq!(named.policies.len(), 8);
        let first = Epidemic { exchange: Exchange::PushPull, feedback: true, stop: Stop::Coin(2) };
        assert_eq!(named.policies[0].epidemic, first);
        assert_eq!(study("--interest blind").unwrap().policies.len(), 5);
        assert_eq!(study("--k 6").unwrap().policies.len(), 3);
    }

    #[test]
    fn partners_are_taken_with_commas_and_repeated_each_with_all_k() {
        let policies = study("--partner any,unsent --partner not-back --k 1,2").unwrap().policies;
        assert_eq!(policies.len(), 3 * 3 * 2);
        let partners: Vec<Partner> = policies[..6].iter().map(|policy| policy.partner).collect();
        let [any, unsent, not_back] = [Partner::Any, Partner::Unsent, Partner::NotBack];
        assert_eq!(partners, [any, any, unsent, unsent, not_back, not_back]);
        assert_eq!(policies[0].epidemic, policies[2].epidemic);
        let tables = study("--partner unsent").unwrap().policies;
        assert_eq!(tables.len(), 13, "those of the tables, to compare with");
        assert!(study("--partner back").is_none());
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for flags in ["--k 0", "--k 256", "--sites 1", "--sites 100001", "--runs 0", "--stop 3"] {
            assert_eq!(study(flags), None, "{flags}");
        }
    }
}
