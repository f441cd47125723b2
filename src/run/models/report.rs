//! An evaluation for people: lines for a terminal, and a page with plots.

use super::evaluate::{Recall, Report};
use crate::edge::page::{Axis, Mark, Page, Plot, Series};
use crate::edge::sink::{amount, printable};
use crate::engine::model::measures::Calibrated;
use std::io::{self, Write};

/// Labels that are told on a terminal; the documents have more.
const LABELS_SHOWN: usize = 10;

/// Writes what was found as lines.
pub(super) fn write_text(report: &Report, output: &mut dyn Write) -> io::Result<()> {
    writeln!(
        output,
        "{} ({}), {}",
        report.model.trained_as,
        report.model.kind,
        rows_text(report)
    )?;
    writeln!(
        output,
        "ROC area {:.4} ± {:.4}, PR area {:.4}",
        report.roc_area, report.roc_area_error, report.pr_area
    )?;
    for recall in &report.recall {
        writeln!(output, "{}", recall_text(recall))?;
    }
    for told in &report.calibration {
        writeln!(output, "{}", calibration_text(told))?;
    }
    for by in report.labels.iter().filter(|by| !by.is_normal).take(LABELS_SHOWN) {
        writeln!(output, "{}: {} of {} rows told", printable(&by.label), by.told, by.rows)?;
    }
    writeln!(
        output,
        "{:.2} microseconds a row, {}",
        report.cost.microseconds_a_row,
        amount(report.cost.bytes as f64)
    )
}

fn rows_text(report: &Report) -> String {
    let rows = &report.rows;
    let days = rows.days.map_or(String::new(), |days| format!(" over {days:.2} days"));
    let entities = rows
        .entities
        .map_or(String::new(), |entities| format!(" of {entities} entities"));
    format!("{} normal rows and {} bad ones{entities}{days}", rows.normal, rows.bad)
}

fn recall_text(recall: &Recall) -> String {
    let a_day = match (recall.alerts_a_day, recall.false_alarms_a_day) {
        (Some(alerts), Some(false_alarms)) => format!(", {alerts:.1} alerts a day, {false_alarms:.1} of them false"),
        _ => String::new(),
    };
    format!(
        "recall {:.4} at a false-alarm rate of {} % ({} of the normal rows{a_day})",
        recall.recall,
        100.0 * recall.false_alarm_rate,
        recall.false_alarms
    )
}

fn calibration_text(told: &Calibrated) -> String {
    let few = if told.is_enough { "" } else { "; too few to judge by" };
    format!(
        "p up to {:e}: {} normal rows where {:.1} are expected, {:.2} times as many ({:.2} to {:.2}{few})",
        told.nominal, told.told, told.expected, told.ratio, told.interval.0, told.interval.1
    )
}

/// What was found as one page that needs nothing else.
pub(super) fn page(report: &Report) -> String {
    let model = &report.model;
    let mut page = Page::new(&format!("{} on {}", model.trained_as, report.rows.file));
    page.paragraph(&format!(
        "A model of kind {}, trained {} on {} rows (id {}, named {}), judged {}.",
        model.kind,
        model.created,
        model.trained_rows,
        model.id,
        model.named,
        rows_text(report)
    ));
    page.heading("What it finds");
    let mut rows = vec![
        vec![
            "ROC area".to_owned(),
            format!("{:.4} ± {:.4}", report.roc_area, report.roc_area_error),
        ],
        vec![
            "PR area (average precision)".to_owned(),
            format!("{:.4}", report.pr_area),
        ],
    ];
    rows.extend(report.recall.iter().map(|recall| {
        let text = recall_text(recall);
        let (value, at) = text.split_once(" at ").unwrap_or((text.as_str(), ""));
        vec![
            format!("recall at {at}"),
            value.trim_start_matches("recall ").to_owned(),
        ]
    }));
    rows.push(vec![
        "cost".to_owned(),
        format!(
            "{:.2} microseconds a row, {}",
            report.cost.microseconds_a_row,
            amount(report.cost.bytes as f64)
        ),
    ]);
    page.table(&[], &rows);
    page.plots(&[
        (
            roc_plot(report),
            "Share of the bad rows found, over the share of the normal rows told with them.".to_owned(),
        ),
        (
            pr_plot(report),
            "Share of what is told that is bad, over the share of the bad rows found.".to_owned(),
        ),
    ]);
    page.heading("Whether its p is true");
    page.paragraph("Of normal rows a share of p should reach a tail probability of p. The bars hold 95 % of what rows, or entities where they were named, drawn anew would show.");
    let rows: Vec<Vec<String>> = report.calibration.iter().map(calibration_row).collect();
    page.table(&["p", "expected", "told", "told over expected", "interval", ""], &rows);
    page.plots(&[
        (
            calibration_plot(report),
            "Told and expected rows; on the dashed line p is true.".to_owned(),
        ),
        (
            surprise_plot(report),
            "How surprising rows are, each kind by itself.".to_owned(),
        ),
    ]);
    page.heading("What it finds of which label");
    let rows: Vec<Vec<String>> = report
        .labels
        .iter()
        .map(|by| {
            let kind = if by.is_normal { "normal" } else { "bad" };
            vec![
                by.label.clone(),
                kind.to_owned(),
                by.rows.to_string(),
                by.told.to_string(),
                format!("{:.1} %", 100.0 * by.told as f64 / by.rows.max(1) as f64),
            ]
        })
        .collect();
    page.table(&["label", "", "rows", "told", "share"], &rows);
    page.finish()
}

fn calibration_row(told: &Calibrated) -> Vec<String> {
    vec![
        format!("{:e}", told.nominal),
        format!("{:.1}", told.expected),
        told.told.to_string(),
        format!("{:.2}", told.ratio),
        format!("{:.2} to {:.2}", told.interval.0, told.interval.1),
        if told.is_enough {
            String::new()
        } else {
            "too few to judge by".to_owned()
        },
    ]
}

fn line(name: &str, mark: Mark, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.to_owned(),
        mark,
        points,
    }
}

fn roc_plot(report: &Report) -> Plot {
    let lowest = 10f64.powf((0.5 / report.rows.normal as f64).log10().floor());
    let chance = (0..=60)
        .map(|step| lowest.powf(1.0 - f64::from(step) / 60.0))
        .map(|rate| (rate, rate));
    Plot {
        title: "Recall over false-alarm rate".to_owned(),
        x: Axis::logarithmic("false-alarm rate", lowest, 1.0),
        y: Axis::linear("recall", 0.0, 1.0),
        series: vec![
            line("model", Mark::Line, report.roc.clone()),
            line("chance", Mark::Dashes, chance.collect()),
        ],
    }
}

fn pr_plot(report: &Report) -> Plot {
    let share = report.rows.bad as f64 / (report.rows.bad + report.rows.normal) as f64;
    Plot {
        title: "Precision over recall".to_owned(),
        x: Axis::linear("recall", 0.0, 1.0),
        y: Axis::linear("precision", 0.0, 1.0),
        series: vec![
            line("model", Mark::Line, report.pr.clone()),
            line("chance", Mark::Dashes, vec![(0.0, share), (1.0, share)]),
        ],
    }
}

fn calibration_plot(report: &Report) -> Plot {
    let usable = report
        .calibration
        .iter()
        .filter(|told| told.told > 0 || told.expected >= 1.0);
    let points: Vec<(f64, f64)> = usable
        .clone()
        .map(|told| (told.nominal, told.nominal * told.ratio))
        .collect();
    let intervals = usable.map(|told| (told.nominal * told.interval.0, told.nominal * told.interval.1));
    let lowest = 1e-5;
    Plot {
        title: "Realised over nominal p".to_owned(),
        x: Axis::logarithmic("nominal p", lowest, 1.0),
        y: Axis::logarithmic("share of normal rows", lowest, 1.0),
        series: vec![
            line("normal rows", Mark::Intervals(intervals.collect()), points),
            line("true p", Mark::Dashes, vec![(lowest, lowest), (1.0, 1.0)]),
        ],
    }
}

fn surprise_plot(report: &Report) -> Plot {
    let breadth = match report.surprises.as_slice() {
        [one, other, ..] => other.0 - one.0,
        _ => 1.0,
    };
    let highest = report.surprises.last().map_or(1.0, |last| last.0 + breadth);
    let most = report
        .surprises
        .iter()
        .map(|step| step.1.max(step.2))
        .fold(0.0, f64::max);
    let steps = |of: fn(&(f64, f64, f64)) -> f64| report.surprises.iter().map(|step| (step.0, of(step))).collect();
    Plot {
        title: "Surprise".to_owned(),
        x: Axis::linear("surprise, -log10 p", 0.0, highest),
        y: Axis::linear("share of the rows of a kind", 0.0, most),
        series: vec![
            line("normal", Mark::Steps(breadth), steps(|step| step.1)),
            line("bad", Mark::Steps(breadth), steps(|step| step.2)),
        ],
    }
}
