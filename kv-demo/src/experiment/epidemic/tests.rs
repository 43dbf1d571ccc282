use super::*;

fn any(epidemic: Epidemic) -> Policy {
    Policy { epidemic, partner: Partner::Any }
}

fn small(policies: &[Policy], runs: u32) -> Findings {
    let policies = policies.to_vec();
    study(&Study { policies, sites: SITES, runs, seed: 1 }).unwrap()
}

/// All of a table's policies.
fn policies(table: &Table) -> Vec<Policy> {
    let rows = (1..=5).filter(|&k| table.row(k).is_some());
    rows.map(|k| any(with_k(table.policy, k))).collect()
}

fn beside(found: f64, published: Printed, tolerance: f64) -> bool {
    (found / published.value() - 1.0).abs() < tolerance
}

#[test]
fn fewer_runs_already_come_near_what_was_published() {
    for table in &TABLES {
        for row in small(&policies(table), 100).rows {
            let (published, k) = (row.published.unwrap(), row.k);
            assert!(beside(row.traffic, published.traffic, 0.15), "{} {k}: {row:?}", table.name);
            // Of 100 000 sites, too few are missed to say more.
            if row.missed > 50 {
                assert!(beside(row.residue, published.residue, 0.3), "{} {k}: {row:?}", table.name);
            } else {
                assert!(row.residue < 1e-3, "{} {k}: {row:?}", table.name);
            }
            assert!(beside(row.t_last.unwrap(), published.t_last, 0.25), "{} {k}", table.name);
        }
    }
}

#[test]
fn every_push_obeys_the_law() {
    for feedback in [true, false] {
        for stop in [Stop::Counter(3), Stop::Coin(3)] {
            let push = Epidemic { exchange: Exchange::Push, feedback, stop };
            let row = small(&[any(push)], 100).rows.remove(0);
            assert!((row.residue / row.push_law - 1.0).abs() < 0.15, "{row:?}");
        }
    }
}

#[test]
fn findings_follow_from_the_seed_and_not_from_what_is_studied_beside() {
    let both = policies(&TABLES[0]);
    let first = small(&both[..2], 70);
    assert_eq!(first, small(&both[..2], 70));
    assert_eq!(first.rows[1], small(&both[1..2], 70).rows[0]);
    let other = Study { policies: both[..2].to_vec(), sites: SITES, runs: 70, seed: 2 };
    assert_ne!(first.rows, study(&other).unwrap().rows);
}

#[test]
fn policies_have_numbers_of_their_own() {
    let mut codes = Vec::new();
    for exchange in [Exchange::Push, Exchange::Pull, Exchange::PushPull] {
        for feedback in [true, false] {
            for k in [1, 255] {
                for stop in [Stop::Counter(k), Stop::Coin(k)] {
                    for partner in [Partner::Any, Partner::NotBack, Partner::Unsent] {
                        let epidemic = Epidemic { exchange, feedback, stop };
                        codes.push(code(Policy { epidemic, partner }));
                    }
                }
            }
        }
    }
    codes.sort_unstable();
    assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
}

/// A policy among so few sites that it matters who is told, with each partner rule.
fn among_twenty(epidemic: Epidemic) -> [Row; 3] {
    [Partner::Any, Partner::NotBack, Partner::Unsent].map(|partner| {
        let policies = vec![Policy { epidemic, partner }];
        study(&Study { policies, sites: 20, runs: 2_000, seed: 1 }).unwrap().rows.remove(0)
    })
}

#[test]
fn a_push_misses_fewer_the_more_it_knows_of_whom_it_told() {
    let push =
        |feedback, k| Epidemic { exchange: Exchange::Push, feedback, stop: Stop::Counter(k) };
    for k in [2, 3, 4] {
        let [any, _, unsent] = among_twenty(push(false, k)).map(|row| row.residue);
        assert!(unsent < 0.9 * any, "blind, {k}: {any} {unsent}");
    }
    let [any, not_back, unsent] = among_twenty(push(true, 2)).map(|row| row.residue);
    assert!(unsent < 0.85 * not_back && not_back < 0.85 * any, "{any} {not_back} {unsent}");
}

#[test]
fn who_is_asked_sends_fewer_copies_the_more_it_knows_of_whom_it_told() {
    for exchange in [Exchange::Pull, Exchange::PushPull] {
        let epidemic = Epidemic { exchange, feedback: true, stop: Stop::Counter(4) };
        let [any, not_back, unsent] = among_twenty(epidemic).map(|row| row.traffic);
        assert!(unsent < not_back && not_back < any, "{exchange:?}: {any} {not_back} {unsent}");
    }
}

#[test]
fn a_residue_of_too_few_says_what_would_judge_it() {
    let findings = small(&policies(&TABLES[2]), 20);
    let takes: Vec<_> = findings.rows.iter().map(|row| row.runs_to_judge).collect();
    assert_eq!(takes, [None, Some(345), Some(50_000)]);
    let table = findings.to_table();
    assert!(table.contains("\nfew: k = 3 is judged with --runs 50000\n"), "{table}");
    assert!(!table.contains("k = 1 is judged"), "{table}");
    let csv = findings.to_csv();
    let ends: Vec<&str> = csv.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(ends, ["runs_to_judge", "", "345", "50000"]);
}

#[test]
fn only_partners_like_the_papers_are_judged() {
    for partner in [Partner::NotBack, Partner::Unsent] {
        let policies = policies(&TABLES[0])[..1].to_vec();
        let policies: Vec<Policy> =
            policies.into_iter().map(|policy| Policy { partner, ..policy }).collect();
        let findings = small(&policies, 3);
        let row = &findings.rows[0];
        assert!(row.table.is_none() && row.residue_is.is_none() && row.traffic_is.is_none());
        let table = findings.to_table();
        let title = format!("push, feedback, counter, partner {}\n", partner.word());
        assert!(table.starts_with(&title) && table.contains("nobody left loses interest"));
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        assert!(findings.to_csv().contains(&format!("counter,{},1,", partner.word())));
    }
    let plain = small(&policies(&TABLES[0])[..1], 3).to_table();
    assert!(!plain.contains("artner"), "{plain}");
}

#[test]
fn another_number_of_sites_has_no_published_figures() {
    let policies = policies(&TABLES[0]);
    let findings = study(&Study { policies, sites: 50, runs: 3, seed: 1 }).unwrap();
    assert!(findings.rows.iter().all(|row| row.published.is_none() && row.table.is_none()));
    assert_eq!(findings.count(Verdict::Outside), 0);
}

#[test]
fn the_table_the_object_and_the_rows_tell_the_same() {
    let findings = small(&policies(&TABLES[2])[..1], 20);
    let table = findings.to_table();
    assert!(table.starts_with("pull, feedback, counter (Demers T3)\n"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    let object: serde_json::Value = serde_json::from_str(&findings.to_json()).unwrap();
    assert_eq!(object["rows"][0]["published"]["residue"], "3.1e-2");
    let csv = findings.to_csv();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("pull,feedback,counter,any,1,"), "{csv}");
    assert!(lines[1].contains(",3.1e-2,2.7,9.97,17.6,"), "{csv}");
}
