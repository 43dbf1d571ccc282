//! A plan as a configuration file: the original's INI, or our TOML. Both read back through
//! [`crate::config`].

use core::fmt::{self, Write as _};
use core::net::SocketAddr;

use super::{NodePlan, Plan, title};

/// The plan in the original's INI shape: a section per node, the original's keys in its order, the
/// neighbours quoted, an empty line after each section.
///
/// Node1's seed is written as Node1 itself, as the original does.
#[must_use]
pub fn to_ini(plan: &Plan) -> String {
    collect(|out| plan.nodes.iter().try_for_each(|node| write_ini_section(out, node)))
}

/// The plan in our own shape: a table `[nodes.NAME]` per node, which [`crate::config`] documents.
#[must_use]
pub fn to_toml(plan: &Plan) -> String {
    collect(|out| {
        let Plan { topology, nodes } = plan;
        writeln!(out, "# A {}.", title(*topology, nodes.len()))?;
        nodes.iter().try_for_each(|node| write_toml_table(out, node))
    })
}

fn collect(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    write(&mut out).expect("writing to a String cannot fail");
    out
}

fn write_ini_section(out: &mut String, node: &NodePlan) -> fmt::Result {
    let seed = node.seed.unwrap_or(node.advertise);
    writeln!(out, "[{}]", node.name)?;
    writeln!(out, "bindAddr={}", node.bind.ip())?;
    writeln!(out, "advertiseAddr={}", node.advertise.ip())?;
    writeln!(out, "bindPort={}", node.bind.port())?;
    writeln!(out, "memberlistAddr={}", seed.ip())?;
    writeln!(out, "memberlistPort={}", seed.port())?;
    writeln!(out, "neighbors=\"{}\"", join(&node.neighbors, ","))?;
    writeln!(out, "port={}", node.http.port())?;
    writeln!(out)
}

fn write_toml_table(out: &mut String, node: &NodePlan) -> fmt::Result {
    writeln!(out)?;
    writeln!(out, "[nodes.{}]", node.name)?;
    writeln!(out, "bind = \"{}\"", node.bind)?;
    writeln!(out, "advertise = \"{}\"", node.advertise)?;
    writeln!(out, "http = \"{}\"", node.http)?;
    if let Some(seed) = node.seed {
        writeln!(out, "join = [\"{seed}\"]")?;
    }
    writeln!(out, "neighbors = [\"{}\"]", join(&node.neighbors, "\", \""))
}

fn join(addresses: &[SocketAddr], separator: &str) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(separator)
}

#[cfg(test)]
mod tests {
    use super::super::{Ports, Topology};
    use super::*;
    use crate::config::{Format, parse};
    use core::net::IpAddr;

    #[test]
    fn ini_has_the_originals_shape() {
        let plan = plan(Topology::Ring, 1, &["10.0.0.1", "10.0.0.2"]);
        assert_eq!(
            to_ini(&plan),
            "[Node1]\n\
             bindAddr=0.0.0.0\n\
             advertiseAddr=10.0.0.1\n\
             bindPort=30000\n\
             memberlistAddr=10.0.0.1\n\
             memberlistPort=30000\n\
             neighbors=\"10.0.0.2:30000\"\n\
             port=30500\n\
             \n\
             [Node2]\n\
             bindAddr=0.0.0.0\n\
             advertiseAddr=10.0.0.2\n\
             bindPort=30000\n\
             memberlistAddr=10.0.0.1\n\
             memberlistPort=30000\n\
             neighbors=\"10.0.0.1:30000\"\n\
             port=30500\n\
             \n"
        );
    }

    #[test]
    fn toml_has_a_table_per_node() {
        let plan = plan(Topology::Ring, 2, &["::1"]);
        let text = to_toml(&plan);
        assert!(text.starts_with(
            "# A ring: 4 nodes.\n\
             \n\
             [nodes.Node1]\n\
             bind = \"[::1]:30000\"\n\
             advertise = \"[::1]:30000\"\n\
             http = \"[::1]:30500\"\n\
             neighbors = [\"[::1]:30001\", \"[::1]:30003\"]\n\
             \n\
             [nodes.Node2]\n"
        ));
        assert!(text.contains("\njoin = [\"[::1]:30000\"]\n"));
    }

    #[test]
    fn every_node_of_a_plan_reads_back_from_both_formats() {
        for topology in Topology::ORIGINAL {
            for hosts in [
                &["127.0.0.1"][..],
                &["127.0.0.1", "127.0.0.2"],
                &["10.0.0.1", "10.0.0.2", "10.0.0.3"],
                &["2001:db8::1", "2001:db8::2"],
            ] {
                let plan = plan(topology, 4, hosts);
                let (ini, toml) = (to_ini(&plan), to_toml(&plan));
                for node in &plan.nodes {
                    assert_reads_back(node, &ini, Format::Ini);
                    assert_reads_back(node, &toml, Format::Toml);
                }
            }
        }
    }

    fn assert_reads_back(node: &NodePlan, text: &str, format: Format) {
        let read = parse(text, format, &node.name).unwrap();
        assert_eq!(read.name, node.name);
        assert_eq!(read.bind, node.bind);
        assert_eq!(read.advertise, Some(node.advertise));
        assert_eq!(read.http, Some(node.http));
        assert_eq!(read.neighbors, node.neighbors);
        let seeds: Vec<String> = read.seeds.iter().map(ToString::to_string).collect();
        let expected: Vec<String> = node.seed.iter().map(ToString::to_string).collect();
        assert_eq!(seeds, expected);
    }

    fn plan(topology: Topology, dim: u32, hosts: &[&str]) -> Plan {
        let hosts: Vec<IpAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Plan::new(topology, dim, &hosts, Ports::default()).unwrap()
    }
}
