//! One page for a browser, in one file: headings, tables and plots. No script, no font and no picture comes from
//! elsewhere, and the page's own policy forbids it; every text is escaped.

mod plot;

pub use plot::{Axis, Mark, Plot, Series};

/// A page that is being written.
pub struct Page {
    html: String,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:64rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.3rem 0}.plots{display:flex;flex-wrap:wrap;gap:1.5rem}\
figure{margin:0}figcaption{font-size:.9rem;max-width:30rem;color:#57606a}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.25rem .9rem .25rem 0;text-align:left;border-bottom:1px solid #d8dee4;vertical-align:top}\
th{font-weight:600}svg text{font:12px system-ui,sans-serif;fill:#1b1f24}";

impl Page {
    /// Begins a page.
    pub fn new(title: &str) -> Page {
        let title = escaped(title);
        Page {
            html: format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
                 <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
                 <title>{title}</title><style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n"
            ),
        }
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: &str) {
        self.html.push_str(&format!("<h2>{}</h2>\n", escaped(text)));
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.html.push_str(&format!("<p>{}</p>\n", escaped(text)));
    }

    /// Adds a table; a head without cells is left out.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.html.push_str("<table>\n");
        if !head.is_empty() {
            let cells: String = head.iter().map(|cell| format!("<th>{}</th>", escaped(cell))).collect();
            self.html.push_str(&format!("<tr>{cells}</tr>\n"));
        }
        for row in rows {
            let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
            self.html.push_str(&format!("<tr>{cells}</tr>\n"));
        }
        self.html.push_str("</table>\n");
    }

    /// Adds plots side by side, each with a sentence below.
    pub fn plots(&mut self, plots: &[(Plot, String)]) {
        self.html.push_str("<div class=\"plots\">\n");
        for (plot, caption) in plots {
            let caption = escaped(caption);
            self.html.push_str(&format!(
                "<figure>{}<figcaption>{caption}</figcaption></figure>\n",
                plot.svg()
            ));
        }
        self.html.push_str("</div>\n");
    }

    /// The whole page.
    pub fn finish(mut self) -> String {
        self.html.push_str("</body></html>\n");
        self.html
    }
}

/// A text in which nothing is markup.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            character if character.is_control() => safe.push('\u{fffd}'),
            character => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_no_markup_and_nothing_comes_from_elsewhere() {
        let mut page = Page::new("<script>alert('x')</script>");
        page.heading("a & b");
        page.paragraph("\"quoted\"\u{7}");
        page.table(&["<b>"], &[vec!["<img src=http://elsewhere/>".to_owned()]]);
        let plot = Plot {
            title: "<title>".to_owned(),
            x: Axis::linear("</svg>", 0.0, 1.0),
            y: Axis::logarithmic("y", 1e-4, 1.0),
            series: vec![Series {
                name: "<a>".to_owned(),
                mark: Mark::Line,
                points: vec![(0.0, 1e-3), (1.0, 1.0)],
            }],
        };
        page.plots(&[(plot, "<i>".to_owned())]);
        let html = page.finish();
        for markup in ["<script", "<b>", "<img", "<i>", "<a>", "\u{7}"] {
            assert!(!html.contains(markup), "{markup} in {html}");
        }
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)") && html.contains("a &amp; b"));
        assert!(html.contains("&lt;/svg&gt;") && html.matches("</svg>").count() == 1);
        assert!(!html.contains("http://elsewhere/>"));
    }
}
