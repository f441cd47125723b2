//! A histogram by detector whose windows are counted elsewhere: what is told is what was set last.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// A histogram by detector.
#[derive(Clone, Debug)]
pub struct CountedHistogram {
    desc: Arc<Desc>,
    held: Arc<Mutex<BTreeMap<String, Buckets>>>,
}

/// Upper bounds, ascending, and how many lie at or below each.
type Buckets = Vec<(f64, f64)>;

impl CountedHistogram {
    pub(super) fn new(name: &str, help: &str) -> Result<CountedHistogram, prometheus::Error> {
        let labels = vec!["detector".to_owned()];
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(CountedHistogram {
            desc: Arc::new(desc),
            held: Arc::default(),
        })
    }

    /// Forgets every detector.
    pub fn clear(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sets a detector's buckets: upper bounds, ascending, and how many lie at or below each.
    pub fn set(&self, detector: &str, within: impl IntoIterator<Item = (f64, f64)>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = held.entry(detector.to_owned()).or_default();
        buckets.clear();
        buckets.extend(within);
    }
}

impl Collector for CountedHistogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(held.iter().map(|(detector, within)| metric(detector, within)).collect());
        vec![family]
    }
}

fn metric(detector: &str, within: &[(f64, f64)]) -> Metric {
    let mut label = LabelPair::default();
    label.set_name("detector".to_owned());
    label.set_value(detector.to_owned());
    let mut histogram = Histogram::default();
    let mut buckets = Vec::with_capacity(within.len());
    let (mut sum, mut before) = (0.0, (0.0, 0.0));
    for &(bound, count) in within {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count.round() as u64);
        buckets.push(bucket);
        // Where in its bucket a value lies is not known: the middle is right on the whole.
        sum += (count - before.1) * (bound + before.0) / 2.0;
        before = (bound, count);
    }
    histogram.set_sample_count(before.1.round() as u64);
    histogram.set_sample_sum(sum);
    histogram.set_bucket(buckets);
    let mut metric = Metric::from_label(vec![label]);
    metric.set_histogram(histogram);
    metric
}
