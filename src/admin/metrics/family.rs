use std::collections::BTreeMap;

use prometheus::Histogram;
use prometheus::TextEncoder;
use prometheus::core::Metric as _;
use prometheus::proto;
use prometheus::proto::MetricFamily;
use prometheus::proto::MetricType;

/// What is measured, as `docs/metrics.md` has it.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
}

/// The names of labels.
type Labels = &'static [&'static str];

impl Family {
    /// What only grows. Its name ends with `_total`.
    pub(super) const fn counter(name: &'static str, labels: Labels, help: &'static str) -> Self {
        Self::new(MetricType::COUNTER, name, labels, help)
    }

    /// What goes up and down.
    pub(super) const fn gauge(name: &'static str, labels: Labels, help: &'static str) -> Self {
        Self::new(MetricType::GAUGE, name, labels, help)
    }

    /// How often something took how long.
    pub(super) const fn histogram(name: &'static str, labels: Labels, help: &'static str) -> Self {
        Self::new(MetricType::HISTOGRAM, name, labels, help)
    }

    const fn new(kind: MetricType, name: &'static str, labels: Labels, help: &'static str) -> Self {
        Self {
            name,
            help,
            kind,
            labels,
        }
    }
}

/// What one scrape is told.
#[derive(Debug, Default)]
pub(super) struct Page(BTreeMap<&'static str, MetricFamily>);

impl Page {
    /// Shows the value of a counter or a gauge; `labels` are the values of the family's labels, in
    /// their order.
    pub(super) fn show(&mut self, family: &Family, labels: &[&str], value: f64) {
        let mut metric = proto::Metric::from_label(pairs(family, labels));
        match family.kind {
            MetricType::COUNTER => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            _ => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.add(family, metric);
    }

    /// Shows a count, of which 2^53 and more lose their last digits: Prometheus knows floats only.
    #[expect(clippy::cast_precision_loss, reason = "as said")]
    pub(super) fn count(&mut self, family: &Family, labels: &[&str], value: u64) {
        self.show(family, labels, value as f64);
    }

    /// Shows a histogram.
    pub(super) fn spread(&mut self, family: &Family, labels: &[&str], histogram: &Histogram) {
        let mut metric = histogram.metric();
        metric.set_label(pairs(family, labels));
        self.add(family, metric);
    }

    fn add(&mut self, family: &Family, metric: proto::Metric) {
        let shown = self.0.entry(family.name).or_insert_with(|| {
            let mut shown = MetricFamily::default();
            shown.set_name(family.name.to_owned());
            shown.set_help(family.help.to_owned());
            shown.set_field_type(family.kind);
            shown
        });
        shown.mut_metric().push(metric);
    }

    /// All of it in Prometheus' text format, version 0.0.4, sorted by name and labels.
    ///
    /// # Errors
    /// When a family can't be written down, which would be a mistake of ours.
    pub(super) fn text(mut self) -> prometheus::Result<String> {
        for family in self.0.values_mut() {
            let values = |metric: &proto::Metric| -> Vec<String> {
                let pairs = metric.get_label().iter();
                pairs.map(|pair| pair.value().to_owned()).collect()
            };
            family.mut_metric().sort_by_cached_key(values);
        }
        let families: Vec<_> = self.0.into_values().collect();
        TextEncoder::new().encode_to_string(&families)
    }
}

fn pairs(family: &Family, values: &[&str]) -> Vec<proto::LabelPair> {
    debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
    let named = family.labels.iter().zip(values);
    named
        .map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        })
        .collect()
}
