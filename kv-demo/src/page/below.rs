//! What stands below the replay: the table of the report, and the plots.

use super::escaped;
use crate::plot::{self, PlotError, TimeAxis};
use crate::report::Results;
use crate::report::table::{cells, names, notes, sections};

/// The table that `report` prints, and its notes.
pub(super) fn table(results: &Results) -> String {
    let headers = names().map(|name| format!("<th scope=\"col\">{}</th>", broken(name)));
    let mut html = format!("<table>\n<thead><tr>{}</tr></thead>\n", headers.concat());
    for section in sections(results) {
        html.push_str(&format!(
            "<tbody>\n<tr><th colspan=\"{}\" scope=\"rowgroup\">{}</th></tr>\n",
            headers.len(),
            escaped(&section.title)
        ));
        for group in section.groups {
            let [name, figures @ ..] = cells(group);
            let figures = figures.map(|figure| format!("<td>{}</td>", escaped(&figure)));
            html.push_str(&format!(
                "<tr><th scope=\"row\">{}</th>{}</tr>\n",
                escaped(&name),
                figures.concat()
            ));
        }
        html.push_str("</tbody>\n");
    }
    html.push_str("</table>\n");
    for note in notes(results) {
        html.push_str(&format!("<p>{}</p>\n", escaped(&note.trim_end().replace('\n', " "))));
    }
    html
}

/// The name of a column in the lines that it has on a terminal; a word that is broken there is whole.
fn broken(name: &str) -> String {
    escaped(&name.trim_start().replace("-\n", "")).replace('\n', "<br>")
}

/// The figures that stand beside the results as files.
pub(super) fn plots(results: &Results) -> Result<String, PlotError> {
    let drawings = plot::draw(results, TimeAxis::Auto)?;
    let figures = drawings.iter().map(|drawing| {
        let name = escaped(drawing.file_name.trim_end_matches(".svg"));
        format!("<figure role=\"img\" aria-label=\"{name}\">{}</figure>\n", drawing.svg.trim_end())
    });
    Ok(figures.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::results;

    #[test]
    fn the_table_has_the_columns_and_the_rows_of_the_printed_one() {
        let html = table(&results());
        assert_eq!(html.matches("scope=\"col\"").count(), 12);
        assert_eq!(html.matches("scope=\"rowgroup\"").count(), 2);
        assert_eq!(html.matches("scope=\"row\"").count(), 8);
        assert!(html.contains("<th scope=\"col\">median<br>ms</th>"));
        assert!(html.contains("<th scope=\"col\">piggyback</th><th scope=\"col\">datagrams</th>"));
        assert!(html.contains("<th scope=\"row\">matching</th><td>1.000</td><td>0.33 ± 0.06</td>"));
        assert!(html.contains("<p>Floor of hypercube 4 on this machine: 0.42 ms"));
    }

    #[test]
    fn every_network_has_its_two_plots() {
        let html = plots(&results()).unwrap();
        assert_eq!(html.matches("<figure ").count(), 4);
        assert_eq!(html.matches("</svg></figure>").count(), 4);
    }
}
