//! Plots as SVG: two axes, straight or logarithmic, and lines, steps, bars or points with intervals over them.

use super::escaped;

/// Pixels of a plot, and of the room for what stands left of and below the axes.
const SIZE: (f64, f64) = (460.0, 340.0);
const MARGIN: (f64, f64) = (64.0, 48.0);
/// Pixels above and right of the axes.
const TOP: f64 = 40.0;
const RIGHT: f64 = 14.0;
/// Colours that people who see few colours tell apart (Okabe and Ito, "Color universal design", 2008).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#999999", "#009e73"];

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// From below.
    pub y: Axis,
    /// What is drawn, later ones over earlier ones.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    label: String,
    low: f64,
    high: f64,
    is_logarithmic: bool,
}

/// What is drawn in one colour.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is, for the legend; empty for none.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// Where.
    pub points: Vec<(f64, f64)>,
}

/// How points are drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// A line through them.
    Line,
    /// A line of dashes, for what is expected.
    Dashes,
    /// An area below steps of this breadth.
    Steps(f64),
    /// A dot each, and a bar from one value to another.
    Intervals(Vec<(f64, f64)>),
}

impl Axis {
    /// An axis on which equal distances are equal differences.
    pub fn linear(label: &str, low: f64, high: f64) -> Axis {
        Axis {
            label: label.to_owned(),
            low,
            high: if high > low { high } else { low + 1.0 },
            is_logarithmic: false,
        }
    }

    /// An axis on which equal distances are equal factors; both ends are above 0.
    pub fn logarithmic(label: &str, low: f64, high: f64) -> Axis {
        let low = low.max(f64::MIN_POSITIVE);
        Axis {
            label: label.to_owned(),
            low,
            high: if high > low { high } else { low * 10.0 },
            is_logarithmic: true,
        }
    }

    /// Where a value is, 0 at the low end and 1 at the high one; what is outside is at the nearer end.
    fn place(&self, value: f64) -> f64 {
        let place = if self.is_logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }

    /// Values that are marked.
    fn ticks(&self) -> Vec<f64> {
        if self.is_logarithmic {
            let first = (self.low.log10() - 1e-9).ceil() as i32;
            let last = (self.high.log10() + 1e-9).floor() as i32;
            return (first..=last).map(|power| 10f64.powi(power)).collect();
        }
        let breadth = self.high - self.low;
        let power = 10f64.powf((breadth / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        let step = step.into_iter().find(|step| breadth / step <= 6.0).unwrap_or(breadth);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|place| place as f64 * step).collect()
    }

    fn text(&self, tick: f64) -> String {
        let size = tick.abs();
        if size != 0.0 && !(1e-3..1e5).contains(&size) {
            return format!("{tick:.0e}");
        }
        let text = format!("{tick:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Plot {
    /// The plot as SVG.
    pub(super) fn svg(&self) -> String {
        let (width, height) = SIZE;
        let title = escaped(&self.title);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">\
             <text x=\"{}\" y=\"14\" style=\"font-weight:600\">{title}</text>",
            MARGIN.0
        );
        self.draw_axes(&mut svg);
        for (place, series) in self.series.iter().enumerate() {
            self.draw(series, COLOURS[place % COLOURS.len()], &mut svg);
        }
        self.draw_legend(&mut svg);
        svg.push_str("</svg>");
        svg
    }

    fn x_of(&self, value: f64) -> f64 {
        MARGIN.0 + self.x.place(value) * (SIZE.0 - MARGIN.0 - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        SIZE.1 - MARGIN.1 - self.y.place(value) * (SIZE.1 - MARGIN.1 - TOP)
    }

    fn draw_axes(&self, svg: &mut String) {
        let (left, right) = (MARGIN.0, SIZE.0 - RIGHT);
        let (bottom, top) = (SIZE.1 - MARGIN.1, TOP);
        for tick in self.x.ticks() {
            let x = self.x_of(tick);
            svg.push_str(&format!(
                "<path d=\"M{x:.1} {bottom}V{top}\" stroke=\"#d8dee4\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                self.x.text(tick)
            ));
        }
        for tick in self.y.ticks() {
            let y = self.y_of(tick);
            svg.push_str(&format!(
                "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#d8dee4\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                y + 4.0,
                self.y.text(tick)
            ));
        }
        let (middle_x, middle_y) = ((left + right) / 2.0, (top + bottom) / 2.0);
        svg.push_str(&format!(
            "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#57606a\"/>\
             <text x=\"{middle_x}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text x=\"14\" y=\"{middle_y}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {middle_y})\">{}</text>",
            SIZE.1 - 10.0,
            escaped(&self.x.label),
            escaped(&self.y.label)
        ));
    }

    fn draw(&self, series: &Series, colour: &str, svg: &mut String) {
        let at = |point: &(f64, f64)| format!("{:.1} {:.1}", self.x_of(point.0), self.y_of(point.1));
        match &series.mark {
            Mark::Line | Mark::Dashes => {
                let way: Vec<String> = series.points.iter().map(at).collect();
                let dashes = if series.mark == Mark::Dashes {
                    " stroke-dasharray=\"5 4\""
                } else {
                    ""
                };
                if !way.is_empty() {
                    svg.push_str(&format!(
                        "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
                        way.join("L")
                    ));
                }
            }
            Mark::Steps(breadth) => {
                let bottom = SIZE.1 - MARGIN.1;
                let mut way = String::new();
                for (x, y) in &series.points {
                    let (left, right, top) = (self.x_of(*x), self.x_of(x + breadth), self.y_of(*y));
                    way.push_str(&format!("M{left:.1} {bottom:.1}V{top:.1}H{right:.1}V{bottom:.1}Z"));
                }
                svg.push_str(&format!("<path d=\"{way}\" fill=\"{colour}\" fill-opacity=\".45\"/>"));
            }
            Mark::Intervals(intervals) => {
                for (point, (low, high)) in series.points.iter().zip(intervals) {
                    let (x, y) = (self.x_of(point.0), self.y_of(point.1));
                    svg.push_str(&format!(
                        "<path d=\"M{x:.1} {:.1}V{:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>",
                        self.y_of(*low),
                        self.y_of(*high)
                    ));
                }
            }
        }
    }

    fn draw_legend(&self, svg: &mut String) {
        let mut x = MARGIN.0;
        for (place, series) in self
            .series
            .iter()
            .enumerate()
            .filter(|(_, series)| !series.name.is_empty())
        {
            let colour = COLOURS[place % COLOURS.len()];
            svg.push_str(&format!(
                "<rect x=\"{x:.1}\" y=\"24\" width=\"10\" height=\"6\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"31\">{}</text>",
                x + 14.0,
                escaped(&series.name)
            ));
            x += 28.0 + 6.5 * series.name.chars().count() as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_where_their_axis_puts_them_and_ticks_are_round() {
        let linear = Axis::linear("", 0.0, 1.0);
        assert_eq!(linear.place(0.25), 0.25);
        assert_eq!(linear.place(-3.0), 0.0);
        let shown = |axis: &Axis| axis.ticks().iter().map(|tick| axis.text(*tick)).collect::<Vec<_>>();
        assert_eq!(shown(&linear), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        let logarithmic = Axis::logarithmic("", 1e-4, 1.0);
        assert!((logarithmic.place(1e-2) - 0.5).abs() < 1e-12);
        assert_eq!(logarithmic.place(0.0), 0.0);
        assert_eq!(shown(&logarithmic), ["1e-4", "0.001", "0.01", "0.1", "1"]);
        assert_eq!(
            shown(&Axis::linear("", 0.0, 12.0)),
            ["0", "2", "4", "6", "8", "10", "12"]
        );
        assert_eq!(Axis::linear("", 2.0, 2.0).place(2.5), 0.5);
    }
}
